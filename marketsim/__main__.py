"""The `marketsim` command, also as `python -m marketsim`."""

import sys

from marketsim import interrupts


def main() -> int:
    """Run the command line of this process; from here on Ctrl-C ends it with one line and exit code 130, whatever is being imported."""
    interrupts.take_over()
    from marketsim.cli import main as run

    code = run()
    interrupts.let_go()
    return code


if __name__ == "__main__":
    sys.exit(main())

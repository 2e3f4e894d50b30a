"""`python -m marketsim` is the `marketsim` command."""

import sys

from marketsim.cli import main

if __name__ == "__main__":
    sys.exit(main())

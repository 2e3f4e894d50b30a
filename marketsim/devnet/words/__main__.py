"""`python -m marketsim.devnet.words TOOL [--dir DIR] …`: what the commands of a devnet's shell run."""

from __future__ import annotations

import sys

from marketsim.devnet.words.tools import run_tool

if __name__ == "__main__":
    sys.exit(run_tool(sys.argv[1], sys.argv[2:]))

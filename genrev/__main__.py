"""Lets `python -m genrev` do what `genrev` does."""

import sys

from genrev.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m chiwawa``."""

import sys

from chiwawa.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m chiwawa``."""

import sys

from chiwawa.cli import main

if __name__ == "__main__":
    sys.exit(main())

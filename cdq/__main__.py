"""The command line as `python -m cdq`."""

import sys

from cdq.cli import main

if __name__ == "__main__":
    sys.exit(main())

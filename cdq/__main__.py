"""The command line as ``python -m cdq``."""

from cdq.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

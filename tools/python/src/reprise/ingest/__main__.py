"""`python -m reprise.ingest`."""

from .command import main

if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m tsfcn.data` is `tsfcn data`."""

from tsfcn.cli.data import main

if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m tsfcn.report` is `tsfcn report`."""

from tsfcn.cli.report import main

if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m tsfcn.published`."""

from tsfcn.published import main

if __name__ == "__main__":
    raise SystemExit(main())

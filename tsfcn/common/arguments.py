"""The command lines of the verbs that argparse reads."""

from __future__ import annotations

import argparse
from typing import NoReturn

from tsfcn.common.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of all commands: one line, exit code 2. Its subparsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError with argparse's message."""
        raise UserError(f"{message}: see `{self.prog} --help`")

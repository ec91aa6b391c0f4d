"""The command lines of the verbs that use argparse."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tsfcn.common.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UserErrors. Its subparsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError with the message of argparse."""
        raise UserError(f"{message}: see `{self.prog} --help`")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the words of a command line, without the carriage return that a script of Windows leaves at its end."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([word.rstrip("\r") for word in words], namespace)


def path(text: str) -> Path:
    """Return the path that an argument names, with `~` expanded (for `type=`).

    Raises UserError for the home folder of an unknown user.
    """
    return Path(expand_home(text))


def expand_home(text: str) -> str:
    """Return a text that begins with a path with `~` expanded: `~/r:fcn` becomes `/home/me/r:fcn`.

    Raises UserError for the home folder of an unknown user.
    """
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise UserError(f"'{text}' has no home folder: write the path in full, or ./~ for the name ~") from None

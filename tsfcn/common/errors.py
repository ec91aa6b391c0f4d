"""The exception for errors that a user can correct, and the one-line form of errors."""

from __future__ import annotations


class UserError(ValueError):
    """An error in the input of the user or in the data, described in one line.

    The message has the form `<the input as it was written> is <the problem>: <the remedy>`. Commands print it without a
    traceback and exit with 2. A job that raises it is recorded as `failed` or `skipped` with the message as the reason.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

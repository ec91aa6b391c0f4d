"""The one exception for mistakes that a user can mend, and how errors become one line."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the user's or of the data's, told in one line.

    The message reads `<the thing as it was written> is <what we got>: <what to do>`. Commands print it without a
    traceback and exit with 2; a job that meets it is recorded as `failed` or `skipped` with the message as the reason.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

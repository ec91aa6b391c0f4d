"""The one exception for mistakes that a user can mend."""


class UserError(ValueError):
    """A mistake of the user's or of the data's, told in one line.

    The message reads `<the thing as it was written> is <what we got>: <what to do>`. Commands print it without a
    traceback and exit with 2; a job that meets it is recorded as `failed` or `skipped` with the message as the reason.
    """

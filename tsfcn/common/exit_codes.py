"""What every command does around its work: one-line errors, broken pipes, signals and exit codes.

It is in `common`, not in `cli`, since the modules below `cli` that can be started (`python -m tsfcn.run`) use it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator

from tsfcn.common import signals
from tsfcn.common.errors import UserError
from tsfcn.common.streams import is_broken, safe_streams

OK, FAILED, BAD_INPUT, SKIPS, INTERRUPTED = 0, 1, 2, 3, 130


def run(command: Callable[[], int], *, resume: str = "") -> int:
    """Run a command and return its exit code. Errors that a user may cause are one line on stderr, not a traceback.

    The exit code is 2 for a UserError, an unusable file and a full disk, and 130 for Ctrl-C, SIGTERM and the like. A
    reader of stdout that goes away (`| head`) changes no exit code, and nothing that happens to stderr does.

    Args:
        command: does the work and returns the exit code; argparse may end it with SystemExit.
        resume: what an interruption leaves and how to continue, for the line about one.
    """
    with safe_streams():
        return guarded(command, resume)


def guarded(command: Callable[[], int], resume: str) -> int:
    """Run a command inside safe streams (see `run`)."""
    code = OK
    try:
        with signals_as_interrupt(), folding_tables():
            code = exit_code(command)
            sys.stdout.flush()
    except UserError as error:
        complain(f"error: {error}")
        return BAD_INPUT
    except OSError as error:
        if isinstance(error, BrokenPipeError) and (os.name == "nt" or is_broken(sys.stdout)):
            return code
        reason = f"{error.filename or 'the output'} is not usable: {error.strerror or error}"
        complain(f"error: {reason}" + (f"; {resume}" if resume else ""))
        return BAD_INPUT
    except KeyboardInterrupt:
        complain("\nstopped" + (f": {resume}" if resume else ""))
        return INTERRUPTED
    return code


def exit_code(command: Callable[[], int]) -> int:
    """Return the result of a command, or the code of the SystemExit that ends it."""
    try:
        return command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else OK


def show(text: str) -> None:
    """Print the result of a command on stdout. A reader that has gone away is not an error.

    For results behind which the exit code still has to be decided: a run whose table nobody reads has run all the same.
    """
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)


def complain(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def folding_tables() -> Iterator[None]:
    """Fold tables to the width of the terminal if stdout is one; in files and pipes they are not folded."""
    if not sys.stdout.isatty():
        yield
        return
    import shutil  # here and not above, so that help comes at once

    from tsfcn.common import text

    with text.folding_at(shutil.get_terminal_size().columns):
        yield


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Treat the first signal that asks to stop like Ctrl-C, and no later one: from then on the process ends.

    Has no effect outside the main thread.
    """

    def interrupt(signum: int, frame: types.FrameType | None) -> None:
        signals.came.append(signum)
        if len(signals.came) == 1:
            raise KeyboardInterrupt

    previous = {}
    with contextlib.suppress(ValueError):  # not the main thread
        asking = [each for each in signals.stop_signals() if each != signal.SIGINT]
        signals.came.clear()
        previous = {each: signal.signal(each, interrupt) for each in asking}
    try:
        yield
    finally:
        for each, handler in previous.items():
            default = signal.SIG_DFL if handler is None else handler
            signal.signal(each, signal.SIG_IGN if signals.came else default)  # Python itself takes its time to end

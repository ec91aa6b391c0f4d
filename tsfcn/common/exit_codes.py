"""What every command does around its work: errors in one line, broken pipes, encodings, signals and exit codes.

It stands in `common`, not in `cli`, since the doors (`python -m tsfcn.run`) lie below `cli` and use it as well.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from typing import TextIO

from tsfcn.common.errors import UserError
from tsfcn.common.signals import stop_signals

OK, FAILED, BAD_INPUT, SKIPS, INTERRUPTED = 0, 1, 2, 3, 130


def run(command: Callable[[], int], *, resume: str = "") -> int:
    """Run a command and return its exit code; whatever a user may cause is one line on stderr, not a traceback.

    A UserError and an unusable file or full disk: 2. Ctrl-C, SIGTERM and the like: 130. A reader of stdout that has
    seen enough (`| head`): 0. Characters that the terminal's encoding lacks are printed as `?`.

    Args:
        command: does the work and returns the exit code; argparse may end it with SystemExit.
        resume: what remains after an interruption, and how to continue. Added to the line about one.
    """
    replace_unprintable()
    try:
        with signals_as_interrupt(), folding_tables():
            code = exit_code(command)
            flush(sys.stdout)
    except UserError as error:
        complain(f"error: {error}")
        code = BAD_INPUT
    except OSError as error:
        if isinstance(error, BrokenPipeError) and (os.name == "nt" or is_broken(sys.stdout)):
            code = OK
        else:
            reason = f"{error.filename or 'the output'} is not usable: {error.strerror or error}"
            complain(f"error: {reason}" + (f"; {resume}" if resume else ""))
            code = BAD_INPUT
    except KeyboardInterrupt:
        complain("\nstopped" + (f": {resume}" if resume else ""))
        code = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and is_broken(stream):
            discard(stream)
    return code


def exit_code(command: Callable[[], int]) -> int:
    """Return what a command returns, or the code of the SystemExit that ends it."""
    try:
        return command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else OK


def replace_unprintable() -> None:
    """Print `?` for what the encoding of stdout or stderr lacks: `±` in ASCII must not end a run that has trained."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def folding_tables() -> Iterator[None]:
    """Fold tables to the width of the terminal that stdout is; they stay as they are where it is a file or a pipe."""
    if sys.stdout is None or not sys.stdout.isatty():
        yield
        return
    import shutil  # here and not above: help comes at once

    from tsfcn.common import text

    with text.folding_at(shutil.get_terminal_size().columns):
        yield


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Treat every signal that asks to stop like Ctrl-C. Only the main thread can: elsewhere nothing changes."""

    def interrupt(signum: int, frame: types.FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {}
    with contextlib.suppress(ValueError):  # not the main thread
        previous = {each: signal.signal(each, interrupt) for each in stop_signals() if each != signal.SIGINT}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


def complain(line: str) -> None:
    """Print a line on stderr, if anybody reads it."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def flush(stream: TextIO | None) -> None:
    """Write out what a stream holds; there is none where a window has no console."""
    if stream is not None:
        stream.flush()


def is_broken(stream: TextIO | None) -> bool:
    """Return whether a stream cannot be written to any more, since what it holds does not fit or nobody reads it."""
    if stream is None:
        return False
    try:
        stream.flush()
    except OSError:
        return True
    import select  # only in the end: help comes at once

    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # Windows; no file at all
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def discard(stream: TextIO) -> None:
    """Throw away what a broken stream still holds, so that the interpreter does not try to write it at its end."""
    with contextlib.suppress(OSError, ValueError):  # it may not be a file at all
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)

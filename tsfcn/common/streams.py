"""Standard output and error that survive what a terminal, a pipe or a disk does to them.

A character that the encoding lacks is replaced, and one that a terminal would obey is escaped: names and messages may
come from strangers. What stands on standard error is optional: a run goes on where nobody reads it, where it is closed,
and where the disk behind it is full.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from tsfcn.common.escapes import printable


class SafeStream:
    """A text stream that escapes what terminals obey, replaces what its encoding lacks, and may ignore errors.

    Everything else is that of the stream inside; `unescaped` is for a display that moves the cursor.
    """

    def __init__(self, stream: TextIO | None, *, is_optional: bool) -> None:
        self.stream = stream  # None: the process has none, and everything is dropped
        self.is_optional = is_optional
        self.is_lost = stream is None

    def write(self, text: str) -> int:
        """Write text and return its length. Raises OSError unless the stream is optional."""
        self.write_unescaped(printable(text, lines=True))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write several texts."""
        for text in texts:
            self.write(text)

    def write_unescaped(self, text: str) -> int:
        """Write text with commands to the terminal, whose names are escaped already."""
        if self.stream is not None and not self.is_lost:
            with self.ignoring_errors():
                try:
                    self.stream.write(text)
                except UnicodeEncodeError as error:
                    self.stream.write(text.encode(error.encoding, "replace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        """Write out what the stream holds. Raises OSError unless the stream is optional."""
        if self.stream is not None and not self.is_lost:
            with self.ignoring_errors():
                self.stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.stream is not None and not self.is_lost and self.stream.isatty()

    @contextlib.contextmanager
    def ignoring_errors(self) -> Iterator[None]:
        """Drop this and all later text after an error, if the stream is optional."""
        try:
            yield
        except BlockingIOError:  # a terminal that is not ready, this text only
            if not self.is_optional:
                raise
        except OSError:
            if not self.is_optional:
                raise
            self.is_lost = True

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream inside."""
        return getattr(self.stream, name)


@functools.cache
def notice(message: str) -> None:
    """Print a line on standard error, once in this process."""
    with contextlib.suppress(OSError, ValueError):  # closed, or its reader is gone
        print(message, file=sys.stderr)


class UnescapedStream:
    """A SafeStream for text that holds commands to the terminal."""

    def __init__(self, stream: SafeStream) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text and return its length."""
        return self.stream.write_unescaped(text)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream inside."""
        return getattr(self.stream, name)


def unescaped(stream: TextIO) -> TextIO:
    """Return a stream for a display that moves the cursor, and that escapes names itself."""
    return cast(TextIO, UnescapedStream(stream)) if isinstance(stream, SafeStream) else stream


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Replace sys.stdout and sys.stderr by SafeStreams, unless they are that already; the second is optional."""
    if isinstance(sys.stdout, SafeStream) and isinstance(sys.stderr, SafeStream):
        yield
        return
    open_closed_descriptors()
    before = sys.stdout, sys.stderr
    out, err = cast("tuple[TextIO | None, TextIO | None]", before)  # None where the process has none
    sys.stdout = cast(TextIO, SafeStream(out, is_optional=out is None))
    sys.stderr = cast(TextIO, SafeStream(err, is_optional=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            if stream is not None and is_broken(stream):
                discard(stream)


def open_closed_descriptors() -> None:
    """Open the null device in place of closed standard streams, whose numbers the next file would otherwise get."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def is_broken(stream: TextIO) -> bool:
    """Return whether a stream cannot be written to: its reader has gone, or what it holds does not fit."""
    try:
        stream.flush()
    except OSError:
        return True
    except ValueError:  # closed
        return False
    import select  # here and not above, so that help comes at once

    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # Windows; not a file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def discard(stream: TextIO) -> None:
    """Drop what a broken stream holds, so that the interpreter does not try to write it at its end."""
    with contextlib.suppress(OSError, ValueError):  # not a file
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)

"""A pseudo terminal for commands, and the screen that it would show."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

COLOUR = re.compile(r"\x1b\[[\d;]*m")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def in_terminal(*words: str, columns: int, cwd: Path, lines: int = 24, **environment: str) -> tuple[int, str]:
    """Run the interpreter in a terminal of some columns and return its exit code and all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env={**clean, "TERM": "xterm-256color"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    parts = []
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    return process.wait(timeout=120), b"".join(parts).decode(errors="replace").replace("\r\n", "\n")


def screens(output: str) -> list[str]:
    """Return the screen before each time that the display is taken away, and at the end.

    Cursor up with clear-to-the-end, and colours, are all that commands may use.
    """
    rows, seen = [""], []
    for text in re.split(r"(\x1b\[\d+A\x1b\[J|\n)", COLOUR.sub("", output)):
        if text == "\n":
            rows.append("")
        elif text.startswith("\x1b"):
            up = int(text[2:].partition("A")[0])
            assert rows[-1] == "" and up < len(rows)
            seen.append("\n".join(rows))
            rows = [*rows[: len(rows) - 1 - up], ""]
        else:
            assert not CONTROL.search(text), repr(text)
            rows[-1] += text
    return [*seen, "\n".join(rows)]

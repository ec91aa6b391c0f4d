"""Escapes for text from strangers that is printed on a terminal."""

from __future__ import annotations

import re

# Control characters, among them ESC, with which each command to a terminal begins; Unicode's line ends; its marks that
# reorder text; and halves of characters, which no encoding can write.
_CONTROLS = "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_CONTROLS_IN_LINES = _CONTROLS.replace("\0-\x1f", "\0-\x08\x0b-\x1f")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return text with escapes for the characters that a terminal obeys rather than shows.

    Names, reasons and messages from files, servers and other programs may hold commands that clear the screen, set the
    clipboard or reorder what is read.

    Args:
        text: Any text.
        lines: Leave newlines and tabs as they are.

    >>> print(printable("Coffee\x1b[2J"), printable("two\nlines"))
    Coffee\x1b[2J two\nlines
    """
    if text.isascii() and text.isprintable():  # nearly all of it
        return text
    controls = _CONTROLS_IN_LINES if lines else _CONTROLS
    return re.sub(controls, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)

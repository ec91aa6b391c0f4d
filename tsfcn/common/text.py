"""Text in columns, lists that end in time, and durations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """Escape what Markdown would read as markup; underscores inside a word are safe and stay readable."""
    return re.sub(r"([\\`*<|]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z]))", r"\\\1", text)


def grid(columns: Iterable[tuple[str, str, Iterable[str]]], *, markdown: bool) -> str:
    """Lay out (header, '<' or '>', cells) columns as aligned text, or as a Markdown table that is aligned as text too.

    A column whose cells are all empty is left out.
    """
    kept = []
    for header, side, cells in columns:
        texts = [escaped(cell) if markdown else cell for cell in cells]
        if any(texts):
            width = max(3, *(len(text) for text in [header, *texts]))
            kept.append((side, width, [f"{text:{side}{width}}" for text in [header, *texts]]))
    if markdown:
        rule = ["-" * width if side == "<" else "-" * (width - 1) + ":" for side, width, _ in kept]
    else:
        rule = ["-" * width for _, width, _ in kept]
    header_line, *lines = zip(*(cells for _, _, cells in kept), strict=True)
    if markdown:
        return "\n".join("| " + " | ".join(line) + " |" for line in (header_line, rule, *lines))
    return "\n".join("  ".join(line).rstrip() for line in (header_line, rule, *lines))


def listed(names: Sequence[str], n: int = 14) -> str:
    """Return the first n names, and how many more there are."""
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def duration(seconds: float) -> str:
    """Return seconds as '12.3 s', '4.5 min' or '6.7 h'."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

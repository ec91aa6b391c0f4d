"""Text in columns, lists that end in time, and durations."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar

Column = tuple[str, str, list[str]]  # header, '<' or '>', cells
WHOLE = 16  # columns of text up to this width are not folded

_width: ContextVar[int | None] = ContextVar("width", default=None)


@contextlib.contextmanager
def folding_at(width: int | None) -> Iterator[None]:
    """Fold the tables that `grid` lays out as text meanwhile to a width, the terminal's. None: do not."""
    token = _width.set(width)
    try:
        yield
    finally:
        _width.reset(token)


def escaped(text: str) -> str:
    """Escape what Markdown would read as markup; underscores inside a word are safe and stay readable."""
    return re.sub(r"([\\`*<|]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z]))", r"\\\1", text)


def is_folding() -> bool:
    """Return whether tables of text are folded, which is so where a command prints them to a terminal."""
    return _width.get() is not None


def grid(
    columns: Iterable[tuple[str, str, Iterable[str]]], *, markdown: bool = False, rule: bool = True, indent: int = 0
) -> str:
    """Lay out columns as aligned text, or as a Markdown table that is aligned as text too.

    A column whose cells are all empty is left out. Text that is wider than `folding_at` allows is folded.

    Args:
        columns: (header, '<' or '>', cells) each.
        markdown: Markdown, which is never folded.
        rule: a line of dashes below the header of a table of text.
        indent: columns that the caller will put before each line.
    """
    kept: list[Column] = []
    for header, side, cells in columns:
        texts = [escaped(cell) if markdown else cell for cell in cells]
        if any(texts):
            kept.append((header, side, texts))
    if markdown:
        return aligned(kept, "| ", " | ", " |", rule=True, marks=True)
    width = _width.get()
    text = aligned(kept, "", "  ", "", rule=rule)
    if width is not None and max(map(len, text.splitlines()), default=0) > width - indent:
        return folded(kept, max(width - indent, 10), rule)
    return text


def natural_width(column: Column, least: int = 3) -> int:
    """Return the width of a column that is not folded. least: three, since Markdown wants as many dashes."""
    header, _, texts = column
    return max(least, *(len(text) for text in [header, *texts]))


def aligned(columns: Sequence[Column], left: str, between: str, right: str, *, rule: bool, marks: bool = False) -> str:
    """Return columns as lines, a line a row.

    Args:
        columns: what is shown.
        left, between, right: what stands before, between and after the cells of a line.
        rule: dashes below the header.
        marks: a colon at the end of the dashes of right-aligned columns, as Markdown has it.
    """
    widths = [natural_width(column, 3 if rule else 1) for column in columns]
    blocks = []
    for (header, side, texts), width in zip(columns, widths, strict=True):
        dashes = "-" * (width - 1) + ":" if marks and side == ">" else "-" * width
        blocks.append([f"{header:{side}{width}}", *([dashes] if rule else []), *(f"{t:{side}{width}}" for t in texts)])
    return "\n".join((left + between.join(line) + right).rstrip() for line in zip(*blocks, strict=True))


def folded(columns: Sequence[Column], width: int, rule: bool) -> str:
    """Return columns as text of at most some width.

    Cells of text go on in the next line. Columns that do not fit beside the others follow in a block of their own,
    each of which begins with the first column, so that its rows have names. Numbers are never folded.
    """
    return "\n\n".join(_rich_table(block, width, rule) for block in fitting_blocks(columns, width))


def least_width(column: Column) -> int:
    """Return the width that a column needs: all of it for numbers, a word or two for text."""
    header, side, texts = column
    if side == ">":
        return natural_width(column)
    words = (len(word) for text in [header, *texts] for word in text.split())
    return min(natural_width(column), max(WHOLE, min(24, max(words, default=3))))


def fitting_blocks(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Divide columns into blocks that each fit into a width, with the first column in each."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        needed = sum(least_width(each) + 2 for each in blocks[-1]) + least_width(column)
        if needed > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def block_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Return the widths of the columns of a block: what each needs, then what room there is, from left to right."""
    widths = [least_width(column) for column in columns]
    room = width - 2 * (len(columns) - 1)
    widths[0] = min(widths[0], max(8, room - sum(widths[1:])))  # the first column folds where numbers need the room
    widths[-1] = max(1, min(widths[-1], room - sum(widths[:-1])))
    for index, column in enumerate(columns):
        widths[index] += max(0, min(natural_width(column) - widths[index], room - sum(widths)))
    return widths


def _rich_table(columns: Sequence[Column], width: int, rule: bool) -> str:
    """Return columns as text that rich has laid out."""
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    dashes_below_the_header = Box("    \n    \n -  \n" + "    \n" * 5, ascii=True)
    table = Table(box=dashes_below_the_header if rule else None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for (header, side, _), n in zip(columns, block_widths(columns, width), strict=True):
        table.add_column(Text(header), justify="right" if side == ">" else "left", width=n, overflow="fold")
    for row in zip(*(texts for _, _, texts in columns), strict=True):
        table.add_row(*map(Text, row))
    console = Console(width=width, color_system=None, force_terminal=False, force_jupyter=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def listed(names: Sequence[str], n: int = 14) -> str:
    """Return the first n names, and how many more there are."""
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def duration(seconds: float) -> str:
    """Return seconds as '12.3 s', '4.5 min' or '6.7 h'."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

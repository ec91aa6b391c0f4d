"""Text for terminals, Markdown and spreadsheets: escapes, columns, lists, durations and sizes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from tsfcn.common.escapes import printable

Column = tuple[str, str, list[str]]  # header, '<' or '>', cells
MIN_TEXT_WIDTH = 16  # columns of text up to this width are not folded

_width: ContextVar[int | None] = ContextVar("width", default=None)


@contextlib.contextmanager
def folding_at(width: int | None) -> Iterator[None]:
    """Let `grid` fold tables of text to a width, such as that of a terminal, inside the context; None: do not fold."""
    token = _width.set(width)
    try:
        yield
    finally:
        _width.reset(token)


def escaped(text: str) -> str:
    """Escape what Markdown would read as markup; underscores inside a word are safe and stay readable.

    Brackets stay readable too, unless they begin an image or a link. Newlines would end the row of a table.
    """
    text = re.sub(r"([\\`*<|]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z]))", r"\\\1", printable(text))
    return re.sub(r"!(?=\[)|(?<=\])(?=[(\[])", r"\\\g<0>", text)


def spreadsheet_text(text: str) -> str:
    """Return the text of a cell of a CSV file, with an apostrophe before what a spreadsheet would run as a formula.

    >>> spreadsheet_text("=HYPERLINK(1)"), spreadsheet_text("-0.5"), spreadsheet_text("Coffee")
    ("'=HYPERLINK(1)", '-0.5', 'Coffee')
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def is_folding() -> bool:
    """Return whether tables of text are folded, as they are when a command prints them on a terminal."""
    return _width.get() is not None


def grid(
    columns: Iterable[tuple[str, str, Iterable[str]]], *, markdown: bool = False, rule: bool = True, indent: int = 0
) -> str:
    """Lay out columns as aligned text, or as a Markdown table that is aligned as text too.

    A column whose cells are all empty is omitted. A table that is wider than `folding_at` allows is folded.

    Args:
        columns: (header, '<' or '>' for the alignment, cells) of each column.
        markdown: whether the result is Markdown, which is never folded.
        rule: whether a line of dashes follows the header of a table of text.
        indent: number of characters that the caller puts before each line.
    """
    kept: list[Column] = []
    for header, side, cells in columns:
        escape = escaped if markdown else printable
        texts = [escape(cell) for cell in cells]
        if any(texts):
            kept.append((escape(header), side, texts))
    if markdown:
        return aligned(kept, "| ", " | ", " |", rule=True, marks=True)
    width = _width.get()
    text = aligned(kept, "", "  ", "", rule=rule)
    if width is not None and max(map(len, text.splitlines()), default=0) > width - indent:
        return folded(kept, max(width - indent, 10), rule)
    return text


def natural_width(column: Column, least: int = 3) -> int:
    """Return the width of a column that is not folded, at least `least` (Markdown needs three dashes)."""
    header, _, texts = column
    return max(least, *(len(text) for text in [header, *texts]))


def aligned(
    columns: Sequence[Column],
    left: str,
    between: str,
    right: str,
    *,
    rule: bool,
    marks: bool = False,
) -> str:
    """Return columns as text with one line for each row.

    Args:
        columns: header, alignment and cells of each column.
        left: text before the first cell of a line.
        between: text between two cells.
        right: text after the last cell.
        rule: whether a line of dashes follows the header.
        marks: whether the dashes of right-aligned columns end with a colon, as in Markdown.
    """
    widths = [natural_width(column, 3 if rule else 1) for column in columns]
    blocks = []
    for (header, side, texts), width in zip(columns, widths, strict=True):
        dashes = "-" * (width - 1) + ":" if marks and side == ">" else "-" * width
        blocks.append([f"{header:{side}{width}}", *([dashes] if rule else []), *(f"{t:{side}{width}}" for t in texts)])
    return "\n".join((left + between.join(line) + right).rstrip() for line in zip(*blocks, strict=True))


def folded(columns: Sequence[Column], width: int, rule: bool) -> str:
    """Return columns as text that is at most `width` characters wide.

    Cells of text are wrapped; numbers are not. Columns that do not fit follow in further blocks, each of which repeats
    the first column.
    """
    return "\n\n".join(_rich_table(block, width, rule) for block in fitting_blocks(columns, width))


def least_width(column: Column) -> int:
    """Return the least width of a column: the natural width for numbers, a word or two for text."""
    header, side, texts = column
    if side == ">":
        return natural_width(column)
    words = (len(word) for text in [header, *texts] for word in text.split())
    return min(natural_width(column), max(MIN_TEXT_WIDTH, min(24, max(words, default=3))))


def fitting_blocks(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Divide columns into blocks that fit into a width; each block starts with the first column."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        needed = sum(least_width(each) + 2 for each in blocks[-1]) + least_width(column)
        if needed > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def block_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Return the widths of the columns of a block: the least widths, widened from left to right while there is room."""
    widths = [least_width(column) for column in columns]
    room = width - 2 * (len(columns) - 1)
    widths[0] = min(widths[0], max(8, room - sum(widths[1:])))  # the first column is folded where numbers need the room
    widths[-1] = max(1, min(widths[-1], room - sum(widths[:-1])))
    for index, column in enumerate(columns):
        widths[index] += max(0, min(natural_width(column) - widths[index], room - sum(widths)))
    return widths


def _rich_table(columns: Sequence[Column], width: int, rule: bool) -> str:
    """Return columns as text, laid out by rich."""
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
    """Return the first n names, and the number of the others."""
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


@dataclass(frozen=True)
class Problem:
    """Why a job has no result."""

    status: str  # 'failed' or 'skipped'
    dataset: str
    reason: str
    title: str  # what names the job, or the dataset


def with_placeholder(reason: str, dataset: str) -> str:
    """Return a reason in which NAME stands for the dataset, where it is not a part of a word.

    >>> with_placeholder("file 'own/inf/inf_TRAIN.csv' has infinite values", "inf")
    "file 'own/NAME/NAME_TRAIN.csv' has infinite values"
    """
    return re.sub(rf"(?<![^\W_]){re.escape(dataset)}(?![^\W_])", "NAME", reason)


def alike(problems: Iterable[Problem]) -> list[tuple[str, list[Problem]]]:
    """Return problems grouped by status and reason; in that of several datasets NAME stands for each."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.status, with_placeholder(problem.reason, problem.dataset)), []).append(problem)
    return [
        (members[0].reason if len({member.dataset for member in members}) == 1 else reason, members)
        for (_, reason), members in groups.items()
    ]


def problem_lines(problems: Iterable[Problem]) -> list[str]:
    """Return one line for each reason, which names everything that shares it."""
    lines = []
    for reason, members in alike(problems):
        first = members[0]
        titles = list(dict.fromkeys(member.title for member in members))
        if len(titles) > 1:
            lines.append(f"{first.status}: {len(titles)} ({', '.join(titles)}): {reason}")
        elif first.title in first.reason:
            lines.append(f"{first.status}: {first.reason}")
        else:
            lines.append(f"{first.status}: {first.title}: {first.reason}")
    return [printable(line) for line in lines]


def duration(seconds: float) -> str:
    """Return seconds as '12.3 s', '4.5 min' or '6.7 h'."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "dataset"), counted(3, "dataset")
    ('1 dataset', '3 datasets')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def size(n_bytes: float) -> str:
    """Return a number of bytes as '45 MB'.

    >>> [size(n) for n in (0, 999, 1_234_567, 98_765_432, 3e9)]
    ['0 bytes', '999 bytes', '1.2 MB', '99 MB', '3.0 GB']
    """
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.{1 if n_bytes < 10 * unit else 0}f} {word}"
    return f"{n_bytes:.0f} bytes"


def loose(text: str) -> str:
    """Return a name in lower case without punctuation, to compare spellings.

    >>> loose("Non-Invasive Fetal_ECG Thorax1") == loose("NonInvasiveFetalECGThorax1")
    True
    """
    return "".join(sign for sign in text.lower() if sign.isalnum())

"""The elements of which the charts of a page are made: SVG as text.

Every function is pure: the same arguments give the same bytes. Colours and fonts come from the style sheet of the page
(page.css), which has a light and a dark scheme; the classes `s0` to `s5` are the series of a chart. Series also differ
in shape, because colour alone is not readable for everyone. Lengths are pixels of the view box.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH = 440  # of most charts: wide enough to read, narrow enough for a phone
N_SERIES = 6  # colours and shapes; a seventh series gets another pair of them
LETTER_WIDTH = 6.7  # of the labels; most letters are a little narrower

# Control characters, which XML does not allow, and characters that reverse the direction of the text after them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_SHAPES = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",  # circle
    "M-2.8-2.8h5.6v5.6h-5.6z",  # square
    "M0-3.6L3.5 2.6h-7z",  # triangle
    "M0-4L4 0L0 4L-4 0z",  # diamond
    "M-1.2-3.8h2.4v2.6h2.6v2.4h-2.6v2.6h-2.4v-2.6h-2.6v-2.4h2.6z",  # plus
    "M0 3.6L3.5-2.6h-7z",  # triangle on its tip
)


# ---------------------------------------------------------------------------------------------------------------------
# Text and numbers


def cleaned(text: object) -> str:
    """Return a text in which U+FFFD replaces each character that a page cannot contain."""
    return _UNPRINTABLE.sub("\ufffd", str(text))


def escaped(text: object) -> str:
    """Return a text for HTML and SVG, safe between tags and in quoted attributes."""
    return html.escape(cleaned(text), quote=True)


def number(value: float, digits: int = 1) -> str:
    """Return a number with at most `digits` decimals and without trailing zeros.

    >>> number(12.0), number(-0.04), number(3.25, 2)
    ('12', '0', '3.25')
    """
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def shorter(text: str, n: int) -> str:
    """Return a text of at most n characters; a longer one is cut and ends in an ellipsis."""
    return text if len(text) <= n else text[: n - 1].rstrip() + "…"


# ---------------------------------------------------------------------------------------------------------------------
# Axes


@dataclass(frozen=True)
class Axis:
    """A linear axis: the value `low` is at pixel `start`, `high` at pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def position(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return round numbers from low to high, about n of them.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def signed_tick(value: float) -> str:
    """Return the label of a tick on an axis of differences: signed, three decimals at most, 0 without a sign."""
    return f"{value:+.3f}".rstrip("0") if value != 0 else "0"


# ---------------------------------------------------------------------------------------------------------------------
# Elements


@dataclass(frozen=True)
class Label:
    """What names a chart: the id of its element, its title, and a description for readers who cannot see it."""

    ident: str
    title: str
    description: str


def chart(label: Label, size: tuple[float, float], parts: Iterable[str], data: Mapping[str, str] | None = None) -> str:
    """Return a chart as an svg element.

    Args:
        label: its id, title and description.
        size: width and height.
        parts: its elements, in drawing order.
        data: data attributes by name (without `data-`), from which page.js reads the geometry.
    """
    ident = escaped(label.ident)
    width, height = (number(length) for length in size)
    attributes = "".join(f' data-{name}="{escaped(value)}"' for name, value in (data or {}).items())
    return (
        f'<svg id="{ident}" class="chart" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" aria-labelledby="{ident}-title {ident}-desc"{attributes}>\n'
        f'<title id="{ident}-title">{escaped(label.title)}</title>\n'
        f'<desc id="{ident}-desc">{escaped(label.description)}</desc>\n' + "\n".join(parts) + "\n</svg>"
    )


def line(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    """Return a straight line between two points (x, y). kind: its class."""
    (x1, y1), (x2, y2) = start, end
    ends = " ".join(f'{name}="{number(v)}"' for name, v in (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)))
    return f'<line class="{kind}" {ends}/>'


def text(x: float, y: float, content: str, *, anchor: str = "start", kind: str = "") -> str:
    """Return a line of text.

    Args:
        x: of its anchor.
        y: of its baseline.
        content: the text, not escaped yet.
        anchor: 'start', 'middle' or 'end', which is the part of the text at x.
        kind: its classes.
    """
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{number(x)}" y="{number(y)}"{attributes}>{escaped(content)}</text>'


def mark(series: int, x: float, y: float, *, size: float = 1, title: str = "", kind: str = "") -> str:
    """Return the mark of a series, which has a colour and a shape.

    Args:
        series: position of the series in its chart, from 0.
        x: of the middle of the mark.
        y: of the middle of the mark.
        size: a factor.
        title: shown under the pointer.
        kind: further classes.
    """
    i = series % N_SERIES
    shape = _SHAPES[(i + series // N_SERIES) % len(_SHAPES)]  # the seventh series has the first colour, another shape
    scale = "" if size == 1 else f" scale({number(size, 2)})"
    tooltip = f"<title>{escaped(title)}</title>" if title else ""
    classes = f"s{i}" + (f" {kind}" if kind else "")
    return f'<path class="{classes}" transform="translate({number(x)} {number(y)}){scale}" d="{shape}">{tooltip}</path>'


def legend(names: Sequence[str], x: float, y: float) -> list[str]:
    """Return a mark and a name for each series, in rows of 16 pixels."""
    return [
        part
        for i, name in enumerate(names)
        for part in (mark(i, x + 5, y + 16 * i - 4, size=1.2), text(x + 16, y + 16 * i, shorter(name, 58)))
    ]

"""Texts that several sections need: intervals, and the names of columns."""

from __future__ import annotations

import math

from tsfcn.analysis.columns import Column
from tsfcn.analysis.marks import TEST_SELECTED
from tsfcn.report.render import fraction


def interval(low: float, high: float) -> str:
    """Return an interval of fractions as text, '' where there is none (NaN)."""
    return "" if math.isnan(low) else f"{fraction(low)} to {fraction(high)}"


def marked_name(column: Column) -> str:
    """Return the name of a column, followed by TEST-SELECTED if its weights were."""
    return column.name + (f" {TEST_SELECTED}" if TEST_SELECTED in column.marks else "")

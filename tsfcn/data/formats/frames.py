"""Read tables of pandas: parquet files, and frames in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsfcn.common.errors import UserError, first_line
from tsfcn.data.formats import header
from tsfcn.data.formats.arrays import label_text
from tsfcn.data.formats.long import LongTable
from tsfcn.data.formats.split import Columns, LabelUse
from tsfcn.data.formats.text import Float64, canonical_label, open_regular, steps_between
from tsfcn.data.formats.wide import WideTable

if TYPE_CHECKING:
    import pandas as pd


def read_parquet(path: Path, columns: Columns, labels: LabelUse = "needed") -> WideTable | LongTable:
    """Read a parquet file as `table_of_frame` does. Raises UserError where pyarrow is not installed."""
    open_regular(path).close()
    try:
        import pandas as pd

        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError as error:
        raise UserError(f"file '{path}' needs pyarrow: pip install 'tsfcn[parquet]', or save it as .csv") from error
    except (OSError, ValueError) as error:
        raise UserError(f"file '{path}' is not a readable parquet file ({first_line(error)}): save it again") from error
    return table_of_frame(frame, columns, str(path), labels)


def table_of_frame(
    frame: pd.DataFrame,
    columns: Columns,
    source: str,
    labels: LabelUse = "needed",
) -> WideTable | LongTable:
    """Return the table of a pandas frame, whose columns are understood as those of a .csv with a header.

    Args:
        frame: The frame; its index is ignored.
        columns: The names that the user gives.
        source: What messages call the frame.
        labels: Whether it has labels.

    Raises:
        UserError: For columns that are missing, unclear or not numeric.
    """
    names = [str(name) for name in frame.columns]
    where = f"table '{source}'"
    header.check_names(names, columns, where)
    long = header.long_layout(names, columns)
    if long is not None and (long.certain or bool(frame.iloc[:, long.case].duplicated().any())):
        return _long(frame, names, long, source, labels)
    layout = header.wide_layout(names, columns, where, labels)
    left_out = [repr(names[i][:40]) for i in layout.left_out]
    return WideTable(
        source=source,
        names=[names[i] for i in layout.values],
        values=_values(frame, names, layout.values, where),
        labels=_labels(frame, layout.label, where),
        counts_rows=_counting(frame, layout),
        notices=[f"column{'s' if len(left_out) > 1 else ''} {', '.join(left_out[:5])} left out as no timepoint"]
        if left_out
        else [],
    )


def _values(frame: pd.DataFrame, names: list[str], positions: tuple[int, ...], where: str) -> Float64:
    """Return the values of columns as float64 (n_rows, n_columns).

    Args:
        frame: The frame.
        names: The names of its columns.
        positions: The columns of values.
        where: What messages call the frame.
    """
    odd = [i for i in positions if frame.dtypes.iloc[i].kind not in "iufb"]
    if odd:
        raise UserError(
            f"{where} has column {names[odd[0]][:40]!r} of type {frame.dtypes.iloc[odd[0]]} among timepoints: leave it "
            "out, or make it numeric"
        )
    values = frame.iloc[:, list(positions)].to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise UserError(f"{where} has an infinite value: write finite numbers, NaN for missing values")
    return values


def _labels(frame: pd.DataFrame, position: int, where: str) -> list[str]:
    """Return the labels of all rows as text, '' without a column of labels (position -1)."""
    if position < 0:
        return [""] * len(frame)
    column = frame.iloc[:, position]
    values = [None if missing else value for value, missing in zip(column, column.isna(), strict=True)]
    return [label_text(value, f"{where} row {number}") for number, value in enumerate(values)]


def _counting(frame: pd.DataFrame, layout: header.Layout) -> tuple[int, ...]:
    """Return the positions of value columns, -1 for that of labels, that are integers and count the rows."""
    found = []
    labels = [(-1, layout.label)] if layout.label >= 0 else []
    for index, position in [*labels, *enumerate(layout.values)]:
        column = frame.iloc[:, position]
        if frame.dtypes.iloc[position].kind in "iu" and len(column) > 1:
            steps = steps_between(column.to_numpy(dtype=np.float64, na_value=np.nan))
            if bool((steps == 1).all()):
                found.append(index)
    return tuple(found)


def _long(
    frame: pd.DataFrame,
    names: list[str],
    layout: header.LongLayout,
    source: str,
    use: LabelUse,
) -> LongTable:
    """Return the long table of a frame.

    Args:
        frame: The frame.
        names: The names of its columns.
        layout: Their meaning.
        source: What messages call the frame.
        use: Whether it has labels.
    """
    where = f"table '{source}'"
    if layout.label < 0 and use == "needed":
        raise UserError(f"{where} has no label column: call it 'label', or name it with label=NAME")
    values = _values(frame, names, layout.values, where)
    return LongTable(
        source,
        [names[i] for i in layout.values],
        cases=_texts(frame, layout.case),
        labels=_labels(frame, -1 if use == "absent" else layout.label, where),
        times=[] if layout.time is None else _texts(frame, layout.time),
        dimensions=[] if layout.dimension is None else _texts(frame, layout.dimension),
        values=list(values),
    )


def _texts(frame: pd.DataFrame, position: int) -> list[str]:
    """Return a column as text, times in ISO form."""
    column = frame.iloc[:, position]
    if frame.dtypes.iloc[position].kind == "M":
        return [value.isoformat(sep="T", timespec="microseconds") for value in column]
    return [canonical_label(str(value).strip()) for value in column]

"""Checks of foreign accuracies against published figures: error rates, and another split than assumed."""

from __future__ import annotations

import numpy as np

from tsfcn.analysis.columns import Column, Place, n_test, whole_cases
from tsfcn.data.catalogue import CATALOGUE


def fits_as_error(column: Column) -> bool:
    """Return whether 1 - accuracy, not the accuracy, resembles what 1-NN with DTW reaches on the same datasets."""
    pairs = [
        (cell.accuracy, 1 - CATALOGUE[place.dataset].dtw_error)
        for place, cell in column.cells.items()
        if place.dataset in CATALOGUE and place.split in ("ucr2018", "ucr2015")
    ]
    if len(pairs) < 3:
        return False
    accuracy, reference = np.array(pairs).T
    apart, apart_reversed = np.abs(accuracy - reference).mean(), np.abs(1 - accuracy - reference).mean()
    is_close = apart_reversed < 0.15 and apart_reversed < apart / 2
    varies = len(pairs) >= 6 and accuracy.std() > 0 and reference.std() > 0
    return bool(is_close or (varies and np.corrcoef(accuracy, reference)[0, 1] < -0.5 and apart_reversed < apart))


def fits_only(column: Column, split: str, other: str) -> list[str]:
    """Return the swapped datasets whose accuracies are whole test cases on another split only; [] if not conclusive."""
    fits: list[str] = []
    n_checked = 0
    for place, cell in column.cells.items():
        facts = CATALOGUE.get(place.dataset)
        if facts is None or place.split != split or not facts.split_swapped_in_2015 or cell.n_runs > 1:
            continue
        counts = [n_test(Place(place.dataset, each)) or 0 for each in (split, other)]
        if 8 * column.half_unit * max(counts) >= 1:
            continue  # too few decimals to tell
        n_checked += 1
        on_split, on_other = (whole_cases(cell.accuracy, n, column.half_unit) is not None for n in counts)
        fits += [place.dataset] if on_other and not on_split else []
    return fits if n_checked >= 3 and len(fits) > 0.8 * n_checked else []

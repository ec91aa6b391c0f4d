"""A comparison as an object: `tsfcn.compare("results:fcn", "published:fawaz2019_ucr128/FCN")`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.analysis import compare as analysis
from tsfcn.analysis import score_columns
from tsfcn.analysis.columns import Column
from tsfcn.common.arguments import expand_home
from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE, select
from tsfcn.report.comparison import as_csv, as_json, as_latex, text


@dataclass(frozen=True, repr=False)
class ComparisonResult:
    """Columns of accuracies side by side, with their tests. Printing it shows the page of `tsfcn compare`."""

    comparison: analysis.Comparison

    def __repr__(self) -> str:
        """Return the comparison as text."""
        return text(self.comparison)

    def to_markdown(self) -> str:
        """Return the comparison as Markdown."""
        return text(self.comparison, markdown=True) + "\n"

    def to_csv(self) -> str:
        """Return the accuracies as CSV with a row for each dataset."""
        return as_csv(self.comparison)

    def to_json(self) -> str:
        """Return the comparison with all its tests as JSON."""
        return as_json(self.comparison)

    def to_latex(self) -> str:
        """Return the accuracies as a LaTeX table."""
        return as_latex(self.comparison)


def compare(
    *columns: str,
    ties: str = "average",
    zeros: str = "pratt",
    rope: float = 0.01,
    alpha: float = 0.05,
    split: str = "ucr2018",
    across_splits: bool = False,
    dataset: Sequence[str] | str | None = None,
    exclude: Sequence[str] | str = (),
) -> ComparisonResult:
    """Compare two or more columns of accuracies over datasets and return the comparison with its tests.

    Args:
        columns: a results folder (all its models), FOLDER:MODEL, a CSV, CSV:MODEL, a folder of tsml-eval results, or
            published:SOURCE/MODEL.
        ties: rank of equal accuracies, 'average' or 'min'.
        zeros: equal pairs in signed ranks, 'pratt' or 'wilcox'.
        rope: the region of practical equivalence is -rope to rope, a fraction.
        alpha: significance level of differences.
        split: 'ucr2018' or 'ucr2015', of CSV files without a column 'split'.
        across_splits: whether datasets are compared whose train and test cases differ.
        dataset: only these datasets: names, sets or globs.
        exclude: without these datasets.

    Raises:
        UserError: a column that does not exist or cannot be read, or a value out of range.
    """
    if not 0 <= rope < 1:
        raise UserError(f"rope={rope:g} is not from 0 to 1: write a fraction, as 0.01")
    if not 0 < alpha < 1:
        raise UserError(f"alpha={alpha:g} is not between 0 and 1: write a fraction, as 0.05")
    scores = score_columns.read(map(expand_home, columns), split=split)
    result = analysis.compare(
        scores,
        ties=ties,
        zeros=zeros,
        rope=rope,
        alpha=alpha,
        across_splits=across_splits,
        datasets=selection(scores, dataset, exclude),
    )
    return ComparisonResult(result)


def selection(
    scores: Sequence[Column], dataset: Sequence[str] | str | None, exclude: Sequence[str] | str
) -> list[str] | None:
    """Return the names of the datasets to compare; None for all.

    Args:
        scores: the columns, which may have datasets that the catalogue does not know.
        dataset: names, sets or globs; None: all.
        exclude: names, sets or globs.
    """
    if not dataset and not exclude:
        return None
    unknown = sorted({place.dataset for column in scores for place in column.cells} - CATALOGUE.keys())
    return select(dataset or [*CATALOGUE, *unknown], exclude, unknown)

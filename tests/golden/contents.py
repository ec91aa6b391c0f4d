"""Write tsfcn/data/contents.csv, the contents on record: `python -m tests.golden.contents ARCHIVE`.

ARCHIVE is the folder of official, corrected files of UCR or UEA 2018, of as many datasets as are at hand; sktime's
PLAID is put beside them as the early revision that it is. Rows of datasets that are not at hand stay as they are.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from tsfcn.data import archive, catalogue, locate, provenance
from tsfcn.data.dataset import Dataset

COLUMNS = [
    "name",
    "revision",
    "content",
    "labels",
    "norm",
    *(f"projection{i}" for i in range(provenance.N_PROJECTIONS)),
]


def row(name: str, revision: str, dataset: Dataset) -> list[object]:
    """Return the row of one dataset."""
    arrays = dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test
    drawn = provenance.sketch(*arrays, dataset.unequal)
    return [name, revision, dataset.passport["content"], drawn["labels"], drawn["norm"], *drawn["projections"]]


def main(root: Path) -> None:
    """Write the table."""
    path = Path(archive.__file__).with_name("contents.csv")
    kept: list[list[str]] = []
    if path.exists():
        with path.open(newline="") as file:
            kept = list(csv.reader(file))[1:]
    rows: list[list[object]] = []
    for name in catalogue.CATALOGUE:
        if (root / name).is_dir():
            rows.append(row(name, "corrected", archive.load(name, root)))
            print(name, file=sys.stderr)
        else:
            rows += [list[object](old) for old in kept if old[:2] == [name, "corrected"]]
        if name == "PLAID":
            early = locate.sktime_files(name)
            assert early is not None
            rows.append(row(name, "early", archive.load(name, early.folder.parent)))
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

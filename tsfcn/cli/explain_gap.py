"""`tsfcn explain-gap [RESULTS] [KEY=VALUE ...]`: turn the knobs of every dataset whose number is not the paper's.

Takes the rows of a results folder whose verdict is `different` or `outside`, the greatest difference first, and turns
the knobs of each (see tsfcn.knobs) with as many seeds as it has. Records and pages go to RESULTS/knobs. knobs=... and
what does not change the number (budget=2h, executor.workers=1, dry_run=true) are passed on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tsfcn import knobs
from tsfcn.analysis.verdict import DIFFERENT, OUTSIDE
from tsfcn.common.errors import UserError
from tsfcn.jobs import store
from tsfcn.run import OK, answered


def gaps(results: Path) -> list[list[str]]:
    """Return the overrides of each row that differs from its published figure, the greatest difference first."""
    from tsfcn.analysis import tables

    records = store.read(results) if results.is_dir() else []
    if not records:
        raise UserError(f"results folder '{results}' is without records: run `tsfcn run results={results}` first")
    rows = tables.accuracy(records)
    split = {(row["model"], row["protocol"], row["dataset"]): row["split"] for row in rows.to_dict("records")}
    judged = tables.verdicts(rows)
    found = judged[judged["word"].isin([DIFFERENT, OUTSIDE]) & ~judged["dataset"].str.startswith("mean of ")]
    found = found.reindex(found["difference"].abs().sort_values(ascending=False, kind="stable").index)
    return [
        [
            f"dataset={row['dataset']}",
            f"model={row['model']}",
            f"protocol={row['protocol']}",
            f"seeds={row['n_seeds']}",
            *(["archive.split=ucr2015"] if split[row["model"], row["protocol"], row["dataset"]] == "ucr2015" else []),
        ]
        for row in found.to_dict("records")
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: the results folder, knobs=... and Hydra overrides."""
    words = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(words):
        print((__doc__ or "").strip())
        return OK

    def go() -> int:
        folders = [word for word in words if "=" not in word]
        if len(folders) > 1:
            raise UserError(f"'{folders[1]}' is a second folder: name one results folder")
        results = Path(folders[0] if folders else "results")
        rest = [word for word in words if "=" in word]
        for word in rest:
            if word.partition("=")[0] in ("dataset", "model", "protocol", "seeds", "archive.split", "results"):
                raise UserError(f"'{word}' follows from the rows of {results}: leave it out")
        found = gaps(results)
        if not found:
            print(f"No dataset in {results} differs from its published figure: there is no gap to explain.")
        code = OK
        for row in found:
            code = max(code, knobs.turn(*knobs.parsed([*row, f"results={results / 'knobs'}", *rest])))
        return code

    return answered(go)

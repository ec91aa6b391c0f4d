"""`python -m tsfcn.reproduce paper=SOURCE model=fcn dataset=small`: train what is missing, and judge it by the paper.

    tsfcn reproduce paper=fawaz2019_ucr128 model=fcn dataset=small seeds=3
    tsfcn reproduce paper=karim2019 model=lstm_fcn dataset=ucr85 dry_run=true

paper names a source of published figures (`tsfcn published list`); its protocol and its split follow. Everything else
is as for `tsfcn run`, which does the work: what is in the results folder already is not trained again. Seeds are
three unless said, since a single one cannot be judged. The verdicts are those of docs/verdict.md, over the datasets
that were asked for. Exit codes as for `tsfcn run`; a verdict is no failure, whatever it says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfcn.common import exit_codes
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.compose import command_line, compose, override
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.run import RESUME, concluded, execute_run, make_callable, of_jobs

if TYPE_CHECKING:
    import pandas as pd

SEEDS = 3


def overrides(words: list[str]) -> tuple[str, list[str]]:
    """Return the source that `paper=` names and the overrides of the run that reproduces it."""
    said = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    papers = [word for word in words if word.startswith("paper=")]
    if len(papers) != 1 or not said["paper"]:
        raise UserError("paper= is not there once: name a source of `tsfcn published list`, as paper=fawaz2019_ucr128")
    source, protocol = published.protocol_of(said["paper"].strip("'\""))
    rest = [word for word in words if word not in papers]
    if said.get("protocol", protocol) != protocol:
        raise UserError(f"protocol={said['protocol']} is not that of paper={source}: leave it out, it is {protocol}")
    known = published.models(source)
    for model in said.get("model", "fcn").strip("'\"[] ").split(","):
        if model.strip() not in known:
            ours = ", ".join(name for name in known if name in models.MODELS)
            raise UserError(f"model '{model.strip()}' is not in {source}: use one of {ours}")
    added = [f"protocol={protocol}"] if "protocol" not in said else []
    added += [f"seeds={SEEDS}"] if "seeds" not in said else []
    added += [f"archive.split={published.sources()[source].split}"] if "archive.split" not in said else []
    return source, [*added, *rest]


def verdicts(records: list[Record], source: str) -> pd.DataFrame:
    """Return the verdicts of records on the figures of one source; see tsfcn.analysis.tables.verdicts."""
    from tsfcn.analysis import tables

    return tables.verdicts(tables.accuracy(records, source))


def shown(records: list[Record], source: str) -> str:
    """Return the verdicts of records as text, and which of their datasets have none, and why."""
    from tsfcn.analysis import tables
    from tsfcn.report import render

    rows = tables.accuracy(records, source)
    parts = [render.verdicts(tables.verdicts(rows))]
    without = list(dict.fromkeys(rows["dataset"][rows["published_source"] == ""]))
    if without:
        why = f"{source} has no figure of the same data, split and settings"
        parts.append(f"No verdict on {len(without)} ({', '.join(without)}): {why}.")
    noted: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        if row["published_note"] and row["dataset"] not in noted.setdefault(row["published_note"], []):
            noted[row["published_note"]].append(row["dataset"])
    parts += [f"To be read with care: {', '.join(d)} ({note})." for note, d in noted.items()]
    if not rows.empty:
        parts.append("Rules and error rates of the verdicts: docs/verdict.md.")
    return "\n\n".join(parts)


def reproduce(paper: str, model: object = "fcn", dataset: object = "default", **settings: object) -> pd.DataFrame:
    """Train what is missing and return the verdicts (tables.verdicts): a row a dataset, and one of their mean.

    paper: a source of published figures; settings: as for tsfcn.run, seeds=3 by default. Raises UserError as it does.
    """
    named: dict[str, Any] = {"paper": paper, "model": model, "dataset": dataset, **settings}
    words = [override(name, value) for name, value in named.items()]
    source, rest = overrides(words)
    chosen, unchanged = compose(rest)
    _, jobs = execute_run(chosen, unchanged, command_line(words, "reproduce"), lambda r: shown(r, source))
    return verdicts(of_jobs(jobs, store.read(Path(chosen.results))), source)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: paper=SOURCE and Hydra overrides."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        if {"-h", "--help"} & set(words):
            print(__doc__.strip())
            return exit_codes.OK
        source, rest = overrides(words)
        settings, unchanged = compose(rest)
        code, _ = execute_run(settings, unchanged, command_line(words, "reproduce"), lambda r: shown(r, source))
        return concluded(code, settings)

    return exit_codes.run(command, resume=RESUME)


make_callable(__name__, reproduce)

if __name__ == "__main__":
    sys.exit(main())

"""`python -m tsfcn.reproduce paper=SOURCE model=fcn dataset=small`: train what is missing and judge it by the paper.

    tsfcn reproduce paper=fawaz2019_ucr128 model=fcn dataset=small seeds=3
    tsfcn reproduce paper=karim2019 model=lstm_fcn dataset=ucr85 dry_run=true
    tsfcn reproduce paper=karim2019 experiment=karim2019 dry_run=true

paper names a source of published figures (`tsfcn published list`), which determines protocol and split. Everything else
is as for `tsfcn run`, which does the work: jobs that are already in the results folder are not trained again. The
default is three seeds, because a single one cannot be judged; an experiment has its own number. The verdicts are those
of docs/verdict.md, over the datasets of the command. Exit codes are those of `tsfcn run`; no verdict counts as a
failure.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfcn.common import exit_codes
from tsfcn.common.callable_module import make_callable
from tsfcn.common.errors import UserError
from tsfcn.common.streams import safe_streams
from tsfcn.config import models
from tsfcn.config.compose import Composed, compose
from tsfcn.config.overrides import canonical, command_line, from_settings
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.runs.stages import RESUME, concluded, execute_run
from tsfcn.runs.summary import of_jobs

if TYPE_CHECKING:
    import pandas as pd

SEEDS = 3


def overrides(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the source that `paper=` names, and the overrides of the run that reproduces it.

    Raises:
        UserError: paper= is missing or names no source, or protocol= does not fit it.
    """
    values = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    papers = [word for word in words if word.startswith("paper=")]
    if len(papers) != 1 or not values["paper"]:
        raise UserError("paper= must be given once: name a source of `tsfcn published list`, as paper=fawaz2019_ucr128")
    source, protocol = published.protocol_of(values["paper"].strip("'\""))
    if values.get("protocol", protocol) != protocol:
        raise UserError(f"protocol={values['protocol']} is not that of paper={source}: leave it out, it is {protocol}")
    split = published.sources()[source].split.split()[0]  # what is behind it is of single datasets
    defaults = {"protocol": protocol, "seeds": SEEDS, "archive.split": split}
    if "experiment" in values:
        del defaults["seeds"]
    added = [f"{name}={value}" for name, value in defaults.items() if name not in values]
    return source, [*added, *(word for word in words if word not in papers)]


def composed(words: Sequence[str], source: str) -> Composed:
    """Return the settings of the run, with the models as the source has them.

    Raises UserError for a model without figures in the source.
    """
    plain = compose(words)
    known = published.reproducible(source)
    for model in plain.run.model.configs():
        if model not in known:
            choices = ", ".join(name for name in known if name in models.MODELS)
            raise UserError(f"model '{model}' is not in {source}: use one of {choices}")
    typed = {word.split(".")[1] for word in words if word.startswith("model.")}
    changed = published.changed_settings(source).items()
    added = [f"model.{name}.{setting}" for name, setting in changed if name in set(plain.run.model.configs()) - typed]
    return compose([*words, *added]) if added else plain


def verdicts(records: list[Record], source: str) -> pd.DataFrame:
    """Return the verdicts of records on the figures of one source; see tsfcn.analysis.tables.verdicts."""
    from tsfcn.analysis import tables

    return tables.verdicts(tables.accuracy(records, source))


def verdict_text(records: list[Record], source: str) -> str:
    """Return the verdicts of records as text, then the datasets without a verdict and the notes on figures."""
    from tsfcn.analysis import tables
    from tsfcn.report import render

    table = tables.accuracy(records, source)
    rows = table.to_dict("records")
    parts = [render.verdicts(tables.verdicts(table)), *_without_verdict(rows, source), *_caveats(rows)]
    if rows:
        parts.append("Rules and error rates of the verdicts: docs/verdict.md.")
    return "\n\n".join(parts)


def _without_verdict(rows: Sequence[Mapping[Any, Any]], source: str) -> list[str]:
    """Return the line on the datasets for which a source has no figure, [] if there are none."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows if row["published_source"] == ""))
    if not datasets:
        return []
    reason = f"{source} has no figure of the same data, split and settings"
    return [f"No verdict on {len(datasets)} ({', '.join(datasets)}): {reason}."]


def _caveats(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return a line for each note on published figures, with its datasets."""
    from tsfcn.report import render

    notes = render.datasets_by_note(rows).items()
    return [f"To be read with care: {', '.join(names)} ({note})." for note, names in notes]


def reproduce(paper: str, model: object = None, dataset: object = None, **settings: object) -> pd.DataFrame:
    """Train what is missing and return the verdicts (`tables.verdicts`): a row for each dataset, one for the mean.

    Args:
        paper: a source of published figures.
        model: as for `tsfcn.run`.
        dataset: as for `tsfcn.run`.
        settings: further settings as for `tsfcn.run`; the default is seeds=3, or the number of an experiment.

    Raises:
        UserError: as `tsfcn.run` does, and if the paper is not known or does not fit the settings.
    """
    named = {"paper": paper, "model": model, "dataset": dataset}
    words = from_settings({name: value for name, value in named.items() if value is not None} | settings)
    source, rest = overrides(words)
    settings_of_run = composed(rest, source)
    with safe_streams():
        _, jobs = execute_run([settings_of_run], command_line(words, "reproduce"), lambda r: verdict_text(r, source))
    return verdicts(of_jobs(jobs, store.read(Path(settings_of_run.run.results))), source)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: paper=SOURCE and Hydra overrides."""
    return exit_codes.run(lambda: _command(canonical(sys.argv[1:] if argv is None else argv)), resume=RESUME)


def _command(words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())
        return exit_codes.OK
    source, rest = overrides(words)
    settings = composed(rest, source)
    code, _ = execute_run([settings], command_line(words, "reproduce"), lambda r: verdict_text(r, source))
    return concluded(code, settings.run)


make_callable(__name__, "tsfcn.reproduce:reproduce")

if __name__ == "__main__":
    sys.exit(main())

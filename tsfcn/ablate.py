"""`python -m tsfcn.ablate dataset=NAME model=fcn`: which disputed setting changes the accuracy, one at a time.

    tsfcn ablate dataset=DiatomSizeReduction model=fcn protocol=fawaz2019 seeds=3
    tsfcn ablate dataset=Fungi settings=[batch,normalisation] dry_run=true
    tsfcn ablate results        every dataset of this folder whose accuracy differs from the paper's

Papers disagree, or do not say, how they normalised, batched, initialised, scheduled and selected (docs/protocols.md).
An ablation changes one of these settings to the value of another paper, or to another value of the same paper, and
leaves everything else as it is. The page shows by how much each change moves the accuracy and whether that is
significant, by the rules of docs/verdict.md with Holm over the settings, and compares each with the published figure.
Several datasets (dataset=GunPoint,Coffee) have a page each, and one more on the changes over all of them.

settings: all, or a list of them. Everything else is as for `tsfcn run`, which does the work; the default is three
seeds. Records and pages are written to results/ablate (to results/knobs if that exists from an earlier version), unless
`results=` names another folder. Finished jobs of the results folder above it are copied, not trained again.

With a results folder instead of a dataset, the rows whose verdict is `different` or `outside` are ablated, the greatest
difference first, with as many seeds as each has. Records and pages are written to RESULTS/ablate (or RESULTS/knobs).
settings=... and overrides that do not change the accuracy (budget=2h, executor.workers=1, dry_run=true) are passed on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tsfcn.analysis import tables, verdict
from tsfcn.analysis.ablation import SETTINGS, OnDataset, Variant, effects, over_datasets, variants
from tsfcn.common import device as devices
from tsfcn.common import exit_codes, files
from tsfcn.common import text as plain_text
from tsfcn.common.arguments import path
from tsfcn.common.errors import UserError
from tsfcn.config import checks
from tsfcn.config.compose import Composed, compose
from tsfcn.config.overrides import canonical, command_line, override
from tsfcn.data.user_data import Source
from tsfcn.jobs import plan, store
from tsfcn.jobs.record import Record
from tsfcn.report.ablation import page, page_over_datasets
from tsfcn.runs.planning import planned, sources
from tsfcn.runs.stages import RESUME, concluded, execute_run

SEEDS = 3
FOLDER, FORMER_FOLDER = "ablate", "knobs"  # below the results folder


def parse(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the overrides of the base run and the settings that `settings=` names."""
    named = [word for word in words if word.startswith("settings=")]
    rest = [word for word in words if word not in named]
    settings = [part.strip() for word in named for part in word.removeprefix("settings=").strip("[]'\" ").split(",")]
    for setting in settings:
        if setting != "all":
            checks.one_of("settings", setting, ("all", *SETTINGS))
    keys = {word.partition("=")[0] for word in rest}
    if "dataset" not in keys:
        raise UserError("dataset= is missing: name a dataset, as dataset=DiatomSizeReduction, or a results folder")
    rest += [f"seeds={SEEDS}"] if "seeds" not in keys else []
    rest += [override("results", str(folder(Path("results"))))] if "results" not in keys else []
    return rest, SETTINGS if not settings or "all" in settings else tuple(settings)


def folder(results: Path) -> Path:
    """Return the folder of ablations in a results folder: that of earlier ones if it exists, else `ablate`."""
    former = results / FORMER_FOLDER
    return former if former.is_dir() and not (results / FOLDER).is_dir() else results / FOLDER


def copy_finished(jobs: Iterable[plan.Job], results: Path) -> None:
    """Copy the finished records of these jobs from the results folder above `results`, if there is one."""
    above = results.parent
    if not (above / "records").is_dir():
        return
    wanted = {job.key for job in jobs} - {record.key for record in store.read(results)}
    finished = [record for record in store.read(above) if record.key in wanted and record.is_ok]
    if finished:
        store.Writer(results).write(*finished)


@dataclass(frozen=True)
class Ablation:
    """An ablation of one dataset: the jobs of the base, those of each variant, and where its page is written."""

    dataset: str
    base: Sequence[plan.Job]
    jobs: Sequence[tuple[Variant, Sequence[plan.Job]]]  # the jobs of the base where its records have the accuracy
    results: Path
    command: str

    @property
    def title(self) -> str:
        """The heading of the page."""
        return f"{self.dataset}, {self.base[0].model}, {self.base[0].protocol}: which setting moves the number"

    def effects(self, records: Sequence[Record]) -> OnDataset | None:
        """Return what the records of these jobs show; None if no job of the base is ok."""
        by_key = {record.key: record for record in records if record.is_ok}
        base = [by_key[job.key] for job in self.base if job.key in by_key]
        if not base:
            return None
        accuracies = []
        for variant, jobs in self.jobs:
            of_seeds = [variant.accuracy_in(by_key[job.key]) for job in jobs if job.key in by_key]
            accuracies.append((variant, [accuracy for accuracy in of_seeds if accuracy is not None]))
        figure = tables.published_figure(base[0])
        return OnDataset(self.dataset, base[0].n_test or 0, effects(base, accuracies, figure), figure)

    def write_page(self, on: OnDataset | None, records: Sequence[Record]) -> str:
        """Write the page of the effects and return it as the command prints it; records: those of these jobs."""
        if on is None:
            return f"{self.title}: no job is ok as the protocol has it, so there is nothing to compare with."
        keys = {job.key for job in self.base}
        base = next(record for record in records if record.is_ok and record.key in keys)
        name = f"{self.dataset}_{base.model}_{base.protocol}"
        return write_page(self.results, name, partial(page, self.title, on.effects, on.figure, base, self.command))


def write_page(results: Path, name: str, content: Callable[..., str]) -> str:
    """Write a page and return it as the command prints it. content: the page, with markdown=False as aligned text."""
    path = results / "pages" / f"{name}.md"
    files.replace(path, lambda file: file.write(content().encode()))
    return content(markdown=not plain_text.is_folding())


def ablate(words: Sequence[str], settings: Sequence[str]) -> int:
    """Run the base and every variant on each dataset, write and print the pages, and return the exit code.

    Args:
        words: the overrides of the base.
        settings: which settings are changed.
    """
    as_it_is = compose(words)
    run = as_it_is.run
    if len(run.model.configs()) != 1:
        raise UserError(
            f"model={list(run.model.configs())} is more than one: change the settings of one model at a time"
        )
    device, chosen = devices.resolve(run.device), sources(run)
    base, unusable = planned(*as_it_is, device)
    if len(unusable) == len(chosen):
        raise UserError(unusable[chosen[0].name][1])
    if not run.dry_run:
        copy_finished(base, Path(run.results))
    parts = [
        part(source.name, words_for(source, chosen, words, run.exclude), settings, device)
        for source in chosen
        if source.name not in unusable
    ]
    composed = [as_it_is, *(each for _, variants_of_one in parts for each in variants_of_one)]
    command = command_of(words, settings)

    def show(records: list[Record]) -> str:
        found = [(ablation, ablation.effects(records)) for ablation, _ in parts]
        pages = [ablation.write_page(on, records) for ablation, on in found]
        on_several = [on for _, on in found if on is not None]
        if len(on_several) > 1:
            title = f"{base[0].model}, {base[0].protocol}, {len(on_several)} datasets: which setting moves the number"
            content = partial(page_over_datasets, title, over_datasets(on_several), command)
            pages.append(write_page(Path(run.results), f"{base[0].model}_{base[0].protocol}", content))
        return "\n".join(pages)

    code, _ = execute_run(composed, command, show)
    return concluded(code, run, "pages/, README.md")


def words_for(source: Source, chosen: Sequence[Source], words: Sequence[str], exclude: object) -> list[str]:
    """Return the overrides that choose one dataset of several.

    Args:
        source: the dataset.
        chosen: all datasets of the run.
        words: the overrides of the run.
        exclude: what they exclude.
    """
    if len(chosen) == 1:
        return list(words)
    if source.files is None:
        others = [word for word in words if word.partition("=")[0] not in ("dataset", "exclude")]
        return [override("dataset", source.name), *others]
    names = [other.name for other in chosen if other != source]
    names += [exclude] if isinstance(exclude, str) else [*exclude] if isinstance(exclude, Iterable) else []
    return [*(word for word in words if not word.startswith("exclude=")), override("exclude", names)]


def command_of(words: Sequence[str], settings: Sequence[str]) -> str:
    """Return the command as one line."""
    named = [] if set(settings) == set(SETTINGS) else [f"settings=[{','.join(settings)}]"]
    return command_line([*words, *named], "ablate")


def part(dataset: str, words: Sequence[str], settings: Sequence[str], device: str) -> tuple[Ablation, list[Composed]]:
    """Return the ablation of one dataset, and the variants that are to be run for it.

    Args:
        dataset: its name.
        words: the overrides of the base on this dataset alone.
        settings: which settings are changed.
        device: torch's name of where it will train.
    """
    as_it_is = compose(words)
    base, _ = planned(*as_it_is, device)
    chosen = [v for v in variants(as_it_is.run, dataset, base[0].passport["n_train"]) if v.setting in settings]
    composed = {v: compose([*words, *v.overrides]) for v in chosen if v.overrides}
    jobs = [(v, planned(*composed[v], device)[0] if v in composed else base) for v in chosen]
    results, command = Path(as_it_is.run.results), command_of(words, settings)
    return Ablation(dataset, base, jobs, results, command), list(composed.values())


# ---------------------------------------------------------------------------------------------------------------------
# A results folder


def differing_rows(results: Path) -> list[list[str]]:
    """Return the overrides of each row that differs from its published figure, the greatest difference first."""
    records = [each for each in store.read(results) if not each.is_ensemble] if results.is_dir() else []
    if not records:
        raise UserError(f"results folder '{results}' has no records: run `tsfcn run results={results}` first")
    rows = tables.accuracy(records)
    split = {(row["model"], row["protocol"], row["dataset"]): row["split"] for row in rows.to_dict("records")}
    verdicts = tables.verdicts(rows)
    is_different = verdicts["word"].isin([verdict.DIFFERENT, verdict.OUTSIDE])
    far = verdicts[is_different & (verdicts["of"] == tables.DATASET)]
    far = far.reindex(far["difference"].abs().sort_values(ascending=False, kind="stable").index)
    return [
        [
            f"dataset={row['dataset']}",
            f"model={row['model']}",
            f"protocol={row['protocol']}",
            f"seeds={row['n_seeds']}",
            *(["archive.split=ucr2015"] if split[row["model"], row["protocol"], row["dataset"]] == "ucr2015" else []),
        ]
        for row in far.to_dict("records")
    ]


def ablate_results(results: Path, words: Sequence[str]) -> int:
    """Ablate every dataset of a results folder whose accuracy differs from the paper's, and return the exit code.

    Args:
        results: the folder.
        words: settings=... and overrides that do not change the accuracy.
    """
    for word in words:
        if word.partition("=")[0] in ("dataset", "model", "protocol", "seeds", "archive.split", "results"):
            raise UserError(f"'{word}' follows from the rows of {results}: leave it out")
    rows = differing_rows(results)
    if not rows:
        print(f"No dataset in {results} differs from its published figure: there is nothing to explain.")
    code = exit_codes.OK
    for row in rows:
        code = max(code, ablate(*parse([*row, override("results", str(folder(results))), *words])))
    return code


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: settings=..., and Hydra overrides or a results folder."""
    return exit_codes.run(lambda: _command(canonical(sys.argv[1:] if argv is None else argv)), resume=RESUME)


def _command(words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())
        return exit_codes.OK
    folders = [word for word in words if "=" not in word]
    if len(folders) > 1:
        raise UserError(f"'{folders[1]}' is a second folder: name one results folder")
    if folders:
        return ablate_results(path(folders[0]), [word for word in words if "=" in word])
    return ablate(*parse(words))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tsfcn.ablate dataset=NAME model=fcn`: which disputed setting changes the accuracy, one at a time.

    tsfcn ablate dataset=DiatomSizeReduction model=fcn protocol=fawaz2019 seeds=3
    tsfcn ablate dataset=Fungi settings=[batch,normalisation] dry_run=true
    tsfcn ablate results        every dataset of this folder whose accuracy differs from the paper's

Papers disagree, or do not say, how they normalised, batched, initialised, scheduled and selected (docs/protocols.md).
An ablation changes one of these settings to the value of another paper, or to another value of the same paper, and
leaves everything else as it is. The page shows by how much each change moves the accuracy and whether that is
significant, by the rules of docs/verdict.md with Holm over the settings, and compares each with the published figure.
Several datasets (dataset=GunPoint,Coffee) have a page each, and one more on the changes over all of them.

settings: all, or a list of those to run; the pages show every setting of which the folder has records. Everything else
is as for `tsfcn run`, which does the work; the default is three seeds. Records and pages are written to results/ablate
(to results/knobs if that exists from an earlier version), unless `results=` names another folder. Finished jobs of the
results folder above it are copied, not trained again.

With a results folder instead of a dataset, the rows whose verdict is `different` or `outside` are ablated, the greatest
difference first, with as many seeds as each has. Records and pages are written to RESULTS/ablate (or RESULTS/knobs).
settings=... and overrides that do not change the accuracy (budget=2h, executor.workers=1, dry_run=true) are passed on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tsfcn.analysis import tables, verdict
from tsfcn.analysis.ablation import SETTINGS, DatasetEffects, Variant, effects, over_datasets, variants
from tsfcn.common import device as devices
from tsfcn.common import exit_codes, files
from tsfcn.common import text as plain_text
from tsfcn.common.arguments import path
from tsfcn.common.errors import UserError
from tsfcn.config import checks, schema
from tsfcn.config.compose import Composed, compose
from tsfcn.config.overrides import canonical, command_line, override, written_value
from tsfcn.config.overrides import split as split_list
from tsfcn.data.catalogue import CATALOGUE
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
    """An ablation of one dataset: the jobs of the base, those of each variant, and what it was asked by."""

    dataset: str
    base: Sequence[plan.Job]
    jobs: Sequence[tuple[Variant, Sequence[plan.Job]]]  # the jobs of the base where its records have the accuracy
    words: Sequence[str]
    settings: Sequence[str]

    @property
    def row(self) -> str:
        """What is ablated, without the dataset."""
        return f"{self.base[0].model}, {self.base[0].protocol}"

    def effects(self, records: Mapping[str, Record]) -> DatasetEffects | None:
        """Return what ok records, by key, show of all settings of which there are some; None if the base has none."""
        base = [records[job.key] for job in self.base if job.key in records]
        if not base:
            return None
        accuracies = []
        for variant, jobs in self.jobs:
            seeds = [variant.accuracy_in(records[job.key]) for job in jobs if job.key in records]
            accuracies.append((variant, [accuracy for accuracy in seeds if accuracy is not None]))
        figure = tables.published_figure(base[0])
        return DatasetEffects(self.dataset, base[0], effects(base, accuracies, figure), figure)

    def write_page(self, measured: DatasetEffects | None, results: Path) -> str:
        """Write the page of the effects and return it as the command prints it."""
        title = f"{self.dataset}, {self.row}: which setting moves the number"
        if measured is None:
            return f"{title}: no job is ok as the protocol has it, so there is nothing to compare with."
        command = command_of(self.words, [*self.settings, *measured.settings])
        return write_page(results, f"{self.dataset}, {self.row}", partial(page, title, measured, command))


def write_page(results: Path, name: str, content: Callable[..., str]) -> str:
    """Write a page and return it as the command prints it. content: the page, with markdown=False as aligned text."""
    path = results / "pages" / f"{name.replace(', ', '_')}.md"
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
    if all(source.name in unusable for source in chosen):
        raise UserError(unusable[chosen[0].name][1])
    parts = [
        part(source.name, words_for(source, chosen, words, run.exclude), settings, device)
        for source in chosen
        if source.name not in unusable
    ]
    ablations = [ablation for ablation, _ in parts]
    check_settings(settings, ablations)
    if not run.dry_run:
        copy_finished(base, Path(run.results))
    composed = [as_it_is, *(each for _, of_one in parts for each in of_one)]

    def show(_: list[Record]) -> str:
        return write_pages(ablations, Path(run.results), words, settings)

    code, _ = execute_run(composed, command_of(words, settings), show)
    return concluded(code, run, "pages/, README.md")


def check_settings(settings: Sequence[str], ablations: Sequence[Ablation]) -> None:
    """Say which settings have no other value here. Raises UserError if none has."""
    there = {variant.setting for ablation in ablations for variant, _ in ablation.jobs}
    without = [setting for setting in settings if setting not in there]
    if len(without) == len(settings):
        raise UserError(
            f"settings=[{','.join(settings)}]: {ablations[0].row} has no other value to try: name others of "
            f"{', '.join(setting for setting in SETTINGS if setting in there)}"
        )
    if without and set(settings) != set(SETTINGS):
        exit_codes.complain(f"settings without another value for {ablations[0].row}: {', '.join(without)}")


def write_pages(ablations: Sequence[Ablation], results: Path, words: Sequence[str], settings: Sequence[str]) -> str:
    """Write the page of each dataset, and of several one over all of them; return them as the command prints them."""
    records = {record.key: record for record in store.read(results) if record.is_ok}
    measured = [ablation.effects(records) for ablation in ablations]
    pages = [ablation.write_page(each, results) for ablation, each in zip(ablations, measured, strict=True)]
    datasets = [each for each in measured if each is not None]
    if len(datasets) > 1:
        row = ablations[0].row
        title = f"{row}, {len(datasets)} datasets: which setting moves the number"
        command = command_of(words, [*settings, *(setting for each in datasets for setting in each.settings)])
        pages.append(write_page(results, row, partial(page_over_datasets, title, over_datasets(datasets), command)))
    return "\n".join(pages)


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
    if source.name in CATALOGUE and source.files is None:
        left_out = ("dataset", "exclude", "label", "columns", "test_size")  # the last three are for tables of one's own
        others = [word for word in words if word.partition("=")[0].partition(".")[0] not in left_out]
        return [override("dataset", source.name), *others]
    names = [other.name for other in chosen if other != source]
    names += [exclude] if isinstance(exclude, str) else [*exclude] if isinstance(exclude, Iterable) else []
    return [*(word for word in words if not word.startswith("exclude=")), override("exclude", names)]


def command_of(words: Sequence[str], settings: Sequence[str]) -> str:
    """Return the command as one line."""
    chosen = [setting for setting in SETTINGS if setting in settings]
    named = [] if len(chosen) == len(SETTINGS) else [f"settings=[{','.join(chosen)}]"]
    return command_line([*words, *named], "ablate")


def check_one_row(base: Sequence[plan.Job], run: schema.RunConfig) -> None:
    """Raise UserError if the jobs of a base differ in more than the seed: its accuracies are those of seeds."""
    if len({job.group for job in base}) == 1:
        return
    resamples = list(dict.fromkeys(job.resample for job in base))
    if len(resamples) > 1:
        raise UserError(f"resample={written_value(resamples)} is more than one split: ablate on one at a time")
    raise UserError(f"protocol.init_from={run.protocol.init_from} is more than one source: ablate on one at a time")


def part(dataset: str, words: Sequence[str], settings: Sequence[str], device: str) -> tuple[Ablation, list[Composed]]:
    """Return the ablation of one dataset, and the variants that are to be run for it.

    Args:
        dataset: its name.
        words: the overrides of the base on this dataset alone.
        settings: which settings are changed.
        device: torch's name of where it will train.
    """

    def jobs_of(composed: Composed) -> list[plan.Job]:
        return [job for job in planned(*composed, device)[0] if job.dataset == dataset]  # without sources of transfer

    as_it_is = compose(words)
    base = jobs_of(as_it_is)
    check_one_row(base, as_it_is.run)
    possible = variants(as_it_is.run, dataset, base[0].passport["n_train"])
    composed = {v: compose([*words, *v.overrides]) for v in possible if v.overrides}
    jobs = [(v, jobs_of(composed[v]) if v in composed else base) for v in possible]
    return Ablation(dataset, base, jobs, words, settings), [
        each for v, each in composed.items() if v.setting in settings
    ]


# ---------------------------------------------------------------------------------------------------------------------
# A results folder


def differing_rows(results: Path) -> list[list[str]]:
    """Return the overrides of each row that differs from its published figure, the greatest difference first."""
    records = [each for each in store.read(results) if not each.is_ensemble] if results.is_dir() else []
    if not records:
        raise UserError(f"results folder '{results}' has no records: run `tsfcn run results={results}` first")
    verdicts = tables.verdicts(tables.accuracy(records))
    is_different = verdicts["word"].isin([verdict.DIFFERENT, verdict.OUTSIDE])
    far = verdicts[is_different & (verdicts["of"] == tables.DATASET)]
    far = far.reindex(far["difference"].abs().sort_values(ascending=False, kind="stable").index)
    by_row = {tables.row_of(record)[:3]: record for record in records if record.is_ok}
    return [
        overrides_of(by_row[row["dataset"], row["model"], row["protocol"]], row["n_seeds"])
        for row in far.to_dict("records")
    ]


def overrides_of(record: Record, n_seeds: int) -> list[str]:
    """Return the overrides of a run of the row that a record with a published figure belongs to."""
    name, _, changed = record.model.partition("[")
    model = record.architecture or name
    split = record.passport.get("split")
    return [
        f"dataset={record.dataset}",
        f"model={model}",
        *(f"model.{model}.{each}" for each in split_list(changed.removesuffix("]")) if each),
        f"protocol={record.protocol.partition('[')[0]}",
        *([f"engine.precision={record.precision}"] if record.precision != "float32" else []),
        f"seeds={n_seeds}",
        *(["archive.split=ucr2015"] if split == "ucr2015" else []),
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

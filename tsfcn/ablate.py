"""`python -m tsfcn.ablate dataset=NAME model=fcn`: which disputed setting moves the number, one at a time.

    tsfcn ablate dataset=DiatomSizeReduction model=fcn protocol=fawaz2019 seeds=3
    tsfcn ablate dataset=Fungi settings=[batch,normalisation] dry_run=true
    tsfcn ablate results        every dataset of this folder whose number is not the paper's

Papers disagree, or do not say, how they normalised, batched, initialised, scheduled and selected (docs/protocols.md).
An ablation changes one of these settings to the value of another paper, or of the same paper elsewhere; all else stays
as it is. The page says by how much each change moves the accuracy and how sure that is, by the rules of docs/verdict.md
with Holm over the settings, and where each stands beside the published figure.

settings: all, or a list of them; everything else is as for `tsfcn run`, which does the work. Seeds are three by
default. Records and pages go to results/ablate, or to results/knobs where an earlier version left them there, unless
`results=` names another folder. What is finished in a results folder above is copied, not trained again.

With a results folder instead of a dataset, it takes the rows whose verdict is `different` or `outside`, the greatest
difference first, and as many seeds as each has. Records and pages go to RESULTS/ablate (or RESULTS/knobs). settings=...
and what does not change the number (budget=2h, executor.workers=1, dry_run=true) are passed on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsfcn.analysis import stats, verdict
from tsfcn.common import device as devices
from tsfcn.common import exit_codes, files
from tsfcn.common import text as plain_text
from tsfcn.common.errors import UserError
from tsfcn.config import checks, models, protocol, schema
from tsfcn.config.compose import command_line, compose, override
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE
from tsfcn.jobs import plan, store
from tsfcn.jobs.record import Record
from tsfcn.report import render
from tsfcn.run import RESUME, concluded, dataset_names, execute_run, planned

SEEDS = 3
FOLDER, FORMER_FOLDER = "ablate", "knobs"  # below the results folder
SETTINGS = (
    "normalisation",
    "batch",
    "initialiser",
    "schedule",
    "epsilon",
    "weights",
    "shuffle",
    "gates",
    "selection",
    "split",
    "precision",
)


@dataclass(frozen=True)
class Variant:
    """One setting changed."""

    setting: str
    change: str  # the new value, in words
    overrides: tuple[str, ...]  # the overrides that do so; () for the base, and for what the base's own records tell
    field: str = "accuracy"  # of the record: whose accuracy it is


@dataclass(frozen=True)
class Effect:
    """By how much a variant moves the number: ours with it minus ours without."""

    variant: Variant
    accuracies: tuple[float, ...]  # a seed each, fractions
    difference: float
    low: float  # its 90 % interval; NaN with a single seed
    high: float
    p_holm: float  # adjusted over the settings
    word: str  # 'moves it', 'does not matter' or 'not shown'
    published: verdict.Verdict | None  # its verdict beside the published figure of the base

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.accuracies))


# ---------------------------------------------------------------------------------------------------------------------
# What is changed


def variants(run: schema.RunConfig, dataset: str, n_train: int) -> list[Variant]:
    """Return the variants of a run of one model on one dataset: what the papers dispute and this run does not have yet.

    n_train: the cases of its training set.
    """
    ((model, network),) = run.model.chosen().items()
    now = protocol.settings(run.protocol, model, network)
    facts = CATALOGUE.get(dataset)
    rows: list[Variant] = []

    def add(setting: str, change: str, *overrides: str) -> None:
        rows.append(Variant(setting, change, overrides))

    normalisations = {
        "none": "the file as it is",
        "series": "each series to mean 0, deviation 1 (Fawaz, Karim)",
        "train": "mean and deviation of the training set (Wang)",
    }
    for value, change in normalisations.items():
        if value != now.normalisation:
            add("normalisation", change, f"protocol.normalisation={value}")
    sizes = [min(now.batch(n_train), n_train)]  # in cases; rules that come to the same are one
    for change, size, divisor in (
        ("min(n / 10, 16) (Wang, Fawaz)", 16, 10),
        ("16 whatever the dataset", 16, 0),
        ("128 (Karim)", 128, 0),
    ):
        resized = protocol.Settings(**{**vars(now), "batch_size": size, "batch_divisor": divisor})
        cases = min(resized.batch(n_train), n_train)
        if cases not in sizes:
            overrides = (f"protocol.batch_size={size}", f"protocol.batch_divisor={divisor}")
            add("batch", f"{change}: {cases} instead of {sizes[0]}", *overrides)
            sizes.append(cases)
    initialisers = {"glorot_uniform": "Glorot uniform (Wang, Fawaz)", "he_uniform": "He uniform (Karim)"}
    for value, change in initialisers.items():
        if value != now.initialiser and "initialiser" not in protocol.unread(model, now):
            add("initialiser", change, f"protocol.initialiser={value}")
    schedules = {
        "the learning rate stays": (now.plateau_factor, 0, now.plateau_min_lr),
        "halved after 50 epochs without gain (Wang, Fawaz)": (0.5, 50, 0.0001),
        "divided by the cube root of 2 after 100 (Karim)": (0.7937005259840998, 100, 0.0001),
    }
    if now.optimiser == "adam":
        for change, (factor, patience, least) in schedules.items():
            if (patience, factor if patience else 0) != (now.plateau_patience, now.plateau_factor if patience else 0):
                overrides = (f"protocol.plateau_factor={factor!r}", f"protocol.plateau_patience={patience}")
                add("schedule", change, *overrides, f"protocol.plateau_min_lr={least!r}")
        for eps, change in ((1e-8, "1e-8 (Wang)"), (1e-7, "1e-7 (Fawaz, Karim)")):
            if eps != now.eps:
                add("epsilon", change, f"protocol.eps={eps!r}")
    if models.spec(model).lstm:
        if now.class_weights == "none":
            add("weights", "classes balanced (meant by Karim's code)", "protocol.class_weights=balanced")
        if getattr(network, "shuffle", False):
            add("shuffle", "no dimension shuffle: a step a timepoint (most libraries)", f"model.{model}.shuffle=false")
        if getattr(network, "gates", "") == "hard_sigmoid":
            add("gates", "sigmoid (later Keras)", f"model.{model}.gates=sigmoid")
    if now.select == "least_train_loss":
        rows.append(Variant("selection", "the last weights", (), "accuracy_last"))
        add("selection", "by held-out cases, a fifth", "protocol.validation=0.2", "protocol.select=validation")
        add("selection", "BY THE TEST SET: no estimate of accuracy", "protocol.select=test_oracle")
    if facts is not None and facts.split_swapped_in_2015:
        other = "ucr2015" if run.archive.split == "ucr2018" else "ucr2018"
        add("split", f"train and test of {other[3:]}, which are the reverse", f"archive.split={other}")
    if run.engine.precision == "float32":
        add("precision", "float64", "engine.precision=float64")
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# What it does


def effects(
    base: Sequence[Record], changed: Sequence[tuple[Variant, Sequence[float]]], figure: published.Figure | None
) -> list[Effect]:
    """Return the base and then what each variant does, in order; a variant without any accuracy is left out.

    base: its ok records; changed: a variant and its accuracies, a seed each.
    """
    ours = [record.accuracy for record in base]
    n_test = base[0].n_test or 0
    rows = [(Variant("", "as the protocol has it", ()), ours)] + [(v, list(a)) for v, a in changed if len(a) > 0]
    verdicts = _beside([a for _, a in rows], n_test, figure)
    margin = float(verdict.margins(np.asarray(n_test)))
    tested = [_interval(ours, accuracies, n_test) for _, accuracies in rows[1:]]
    known = [i for i, (_, _, p) in enumerate(tested) if not np.isnan(p)]
    p_holm = np.full(len(tested), np.nan)
    p_holm[known] = stats.holm([tested[i][2] for i in known])
    nan = float("nan")
    out = [Effect(rows[0][0], tuple(ours), 0.0, nan, nan, nan, "", verdicts[0])]
    for (variant, accuracies), (low, high, _), p, beside in zip(rows[1:], tested, p_holm, verdicts[1:], strict=True):
        d = float(np.mean(accuracies) - np.mean(ours))
        if not np.isnan(p) and verdict.is_different(np.asarray(d), np.asarray(p), margin):
            word = "moves it"
        elif not np.isnan(low) and verdict.is_equivalent(np.asarray(low), np.asarray(high), margin):
            word = "does not matter"
        else:
            word = "not shown"
        out.append(Effect(variant, tuple(accuracies), d, low, high, float(p), word, beside))
    return out


def _deviation(accuracies: Sequence[float], n_test: int) -> np.ndarray:
    return verdict.floored(np.asarray(np.std(accuracies, ddof=1)), np.asarray(n_test))


def _interval(ours: Sequence[float], others: Sequence[float], n_test: int) -> tuple[float, float, float]:
    """Return (low, high, p) of others minus ours; NaN where either has a single seed."""
    if min(len(ours), len(others)) < 2:
        return float("nan"), float("nan"), float("nan")
    d = np.asarray(np.mean(others) - np.mean(ours))
    bounds = verdict.interval(d, _deviation(others, n_test), len(others), _deviation(ours, n_test), len(ours))
    low, high, p = (float(value) for value in bounds)
    return low, high, p


def _beside(
    accuracies: Sequence[Sequence[float]], n_test: int, figure: published.Figure | None
) -> Sequence[verdict.Verdict | None]:
    """Return the verdict of each set of runs beside one published figure; Holm over them."""
    if figure is None:
        return [None] * len(accuracies)
    rows = [
        verdict.PairedAccuracy(
            figure.dataset,
            n_test,
            float(np.mean(each)),
            float(np.std(each, ddof=1)) if len(each) > 1 else None,
            len(each),
            figure.mean,
            figure.std,
            figure.n_runs,
        )
        for each in accuracies
    ]
    return verdict.judge(rows).verdicts


def page(
    title: str,
    rows: Sequence[Effect],
    figure: published.Figure | None,
    base: Record,
    command: str,
    *,
    markdown: bool = True,
) -> str:
    """Return the page of one dataset as Markdown, which reads as text too.

    Args:
        title: its heading.
        rows: the effects, that of the base first.
        figure: the published figure, if there is one.
        base: a record of the base.
        command: the command that makes the page.
        markdown: False lays out the table as text, which folds in a terminal.
    """
    first, *others = rows
    order = sorted(others, key=lambda m: (-abs(round(m.difference, 9)), m.variant.setting, m.variant.change))
    accuracy = f"{render.fraction(first.mean)}" + (
        f" ± {np.std(first.accuracies, ddof=1):.4f}" if len(first.accuracies) > 1 else ""
    )
    n_seeds = len(first.accuracies)
    sizes = f"batches of {base.batch} of {base.n_train} training cases, {base.n_test} test cases"
    lines = [f"As the protocol has it: {accuracy} over {n_seeds} seed{'' if n_seeds == 1 else 's'}, {sizes}."]
    if figure is not None and first.published is not None:
        std = "" if figure.std is None else f" ± {figure.std:.4f}"
        runs = "a single run" if figure.n_runs == 1 else f"{figure.n_runs} runs"
        lines.append(f"Published: {figure.mean:.4f}{std} ({figure.source}, {runs}): {first.published.text}.")
    else:
        lines.append("No published figure stands beside it.")
    words: dict[str, list[str]] = {"moves it": [], "not shown": [], "does not matter": []}
    for m in order:
        words[m.word].append(f"{m.variant.setting} ({m.variant.change}, {render.signed(m.difference)})")
    named = {"moves it": "Moves the number", "not shown": "Not shown either way", "does not matter": "Does not matter"}
    lines += [f"{named[word]}: {'; '.join(changes)}." for word, changes in words.items() if changes]

    def beside(m: Effect) -> str:
        return "" if m.published is None else f"{render.signed(m.published.difference)}, {m.published.word}"

    grid = plain_text.grid(
        [
            ("setting", "<", [m.variant.setting or "-" for m in [first, *order]]),
            ("changed to", "<", [m.variant.change for m in [first, *order]]),
            ("seeds", ">", [str(len(m.accuracies)) for m in [first, *order]]),
            ("accuracy", ">", [render.fraction(m.mean) for m in [first, *order]]),
            ("change", ">", ["", *(render.signed(m.difference) for m in order)]),
            ("90 % interval", ">", ["", *(render.interval(m.low, m.high) for m in order)]),
            ("p, Holm", ">", ["", *(render.p_value(m.p_holm) for m in order)]),
            ("verdict", "<", ["", *(m.word for m in order)]),
            ("beside the published", "<", [beside(m) for m in [first, *order]]),
        ],
        markdown=markdown,
    )
    notes = (
        "One setting is changed at a time. `moves it`: the change is beyond the margin (0.02, or one test case) and "
        "its p, adjusted by Holm over these settings, is below 0.05; `does not matter`: its 90 % interval lies inside "
        "the margin. Rules and error rates: docs/verdict.md."
    )
    body = "\n".join(f"- {plain_text.escaped(line)}" for line in lines)
    return f"# {title}\n\n{body}\n\n{grid}\n\n{notes}\n\n```sh\n{command}\n```\n"


# ---------------------------------------------------------------------------------------------------------------------
# The command


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
        raise UserError("dataset= is not there: name one, as dataset=DiatomSizeReduction, or a results folder")
    rest += [f"seeds={SEEDS}"] if "seeds" not in keys else []
    rest += [override("results", str(folder(Path("results"))))] if "results" not in keys else []
    return rest, SETTINGS if not settings or "all" in settings else tuple(settings)


def folder(results: Path) -> Path:
    """Return where the ablations of a results folder go: where earlier ones are, else results/ablate."""
    former = results / FORMER_FOLDER
    return former if former.is_dir() and not (results / FOLDER).is_dir() else results / FOLDER


def lend(jobs: Iterable[plan.Job], results: Path) -> None:
    """Copy the finished records of these jobs from a results folder above this one, where there is one."""
    above = results.parent
    if not (above / "records").is_dir():
        return
    wanted = {job.key for job in jobs} - {record.key for record in store.read(results)}
    writer = store.Writer(results)
    for record in store.read(above, curves=True):
        if record.key in wanted and record.is_ok:
            writer.write(record)


def ablate(words: Sequence[str], settings: Sequence[str]) -> int:
    """Run the base and every variant of each dataset, print a page a dataset and write it. Returns the exit code.

    Args:
        words: the overrides of the base.
        settings: which settings are changed.
    """
    run, _ = compose(words)
    if len(run.model.chosen()) != 1:
        raise UserError(
            f"model={list(run.model.chosen())} is more than one: change the settings of one model at a time"
        )
    code = exit_codes.OK
    for dataset in dataset_names(run):
        others = [word for word in words if not word.startswith("dataset=")]
        code = max(code, ablate_dataset(dataset, [override("dataset", dataset), *others], settings))
    return code


def ablate_dataset(dataset: str, words: Sequence[str], settings: Sequence[str]) -> int:
    """Do what `ablate` does for one dataset."""
    run, unchanged = compose(words)
    results = Path(run.results)
    device = devices.resolve(run.device)
    base, unusable = planned(run, unchanged, device)
    if dataset in unusable:
        raise UserError(unusable[dataset][1])
    tried = [v for v in variants(run, dataset, base[0].passport["n_train"]) if v.setting in settings]
    composed = {v: compose([*words, *v.overrides]) for v in tried if v.overrides}
    if not run.dry_run:
        lend(base, results)
    chosen = [] if set(settings) == set(SETTINGS) else [f"settings=[{','.join(settings)}]"]
    command = command_line([*words, *chosen], "ablate")
    title = f"{dataset}, {base[0].model}, {base[0].protocol}: which setting moves the number"

    def text(records: Sequence[Record]) -> str:
        from tsfcn.analysis import tables

        by_key = {record.key: record for record in records if record.is_ok}
        ours = [by_key[job.key] for job in base if job.key in by_key]
        if not ours:
            return f"{title}: no job is ok as the protocol has it, so there is nothing to compare with."
        changed: list[tuple[Variant, Sequence[float]]] = []
        for variant in tried:
            if not variant.overrides:
                changed.append((variant, [getattr(record, variant.field) for record in ours]))
                continue
            jobs, _ = planned(*composed[variant], device)
            changed.append((variant, [by_key[job.key].accuracy for job in jobs if job.key in by_key]))
        one = ours[0]
        (row,) = tables.accuracy(ours).to_dict("records")
        figure = None
        if row["published_source"]:
            figure = published.beside(one.protocol, one.model, dataset, one.passport["split"], row["published_source"])
        rows = effects(ours, changed, figure)
        written = page(title, rows, figure, one, command)
        path = results / "pages" / f"{dataset}_{base[0].model}_{base[0].protocol}.md"
        files.replace(path, lambda file: file.write(written.encode()))
        return page(title, rows, figure, one, command, markdown=False) if plain_text.is_folding() else written

    code, _ = execute_run(run, unchanged, command, text, composed.values())
    return concluded(code, run, "pages/, README.md")


# ---------------------------------------------------------------------------------------------------------------------
# A results folder


def gaps(results: Path) -> list[list[str]]:
    """Return the overrides of each row that differs from its published figure, the greatest difference first."""
    from tsfcn.analysis import tables

    records = store.read(results) if results.is_dir() else []
    if not records:
        raise UserError(f"results folder '{results}' is without records: run `tsfcn run results={results}` first")
    rows = tables.accuracy(records)
    split = {(row["model"], row["protocol"], row["dataset"]): row["split"] for row in rows.to_dict("records")}
    judged = tables.verdicts(rows)
    far = judged[
        judged["word"].isin([verdict.DIFFERENT, verdict.OUTSIDE]) & ~judged["dataset"].str.startswith("mean of ")
    ]
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
    """Ablate every dataset of a results folder whose number is not the paper's. Returns the exit code.

    Args:
        results: the folder.
        words: settings=... and overrides that do not change the number.
    """
    for word in words:
        if word.partition("=")[0] in ("dataset", "model", "protocol", "seeds", "archive.split", "results"):
            raise UserError(f"'{word}' follows from the rows of {results}: leave it out")
    rows = gaps(results)
    if not rows:
        print(f"No dataset in {results} differs from its published figure: there is no gap to explain.")
    code = exit_codes.OK
    for row in rows:
        code = max(code, ablate(*parse([*row, override("results", str(folder(results))), *words])))
    return code


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: settings=..., and Hydra overrides or a results folder."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        if {"-h", "--help"} & set(words):
            print(__doc__.strip())
            return exit_codes.OK
        folders = [word for word in words if "=" not in word]
        if len(folders) > 1:
            raise UserError(f"'{folders[1]}' is a second folder: name one results folder")
        if folders:
            return ablate_results(Path(folders[0]), [word for word in words if "=" in word])
        return ablate(*parse(words))

    return exit_codes.run(command, resume=RESUME)


if __name__ == "__main__":
    sys.exit(main())

"""`tsfcn explain dataset=NAME model=NAME [KEY=VALUE ...] [--out FOLDER]`: draw what a network looks at.

The networks are those of `tsfcn run` with the same words: kept weights of the results folder are used, and what has
none is trained first. docs/explain.md shows the figures and how to read them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsfcn.common import exit_codes, files
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError
from tsfcn.common.text import grid
from tsfcn.config.compose import compose_all
from tsfcn.config.overrides import canonical, command_line
from tsfcn.data import locate
from tsfcn.data.user_data import load_planned
from tsfcn.jobs import artifacts, store
from tsfcn.jobs.plan import Job
from tsfcn.runs.stages import RESUME, execute_run

if TYPE_CHECKING:
    from torch import nn

    from tsfcn.analysis.explanation import Explanation
    from tsfcn.analysis.faithfulness import Faithfulness
    from tsfcn.data.preprocess import Floats, Int64

PER_CLASS = 5  # cases of a class in the figure by class
PER_ROW = 4  # cases of a row of the gallery
COLUMNS = ("dataset", "model", "protocol", "seed", "n_cases", "deletion", "random", "insertion")


@dataclass(frozen=True, eq=False)
class TrainedJob:
    """A job, its network, and its test cases as the network takes them."""

    job: Job
    network: nn.Module
    x: Floats
    lengths: Int64
    labels: Int64  # positions in `classes`
    classes: Sequence[str]
    probabilities: Floats

    def explain(self, cases: Int64) -> Explanation:
        """Return the explanation of some test cases."""
        from tsfcn.analysis.explanation import explain_network

        return explain_network(self.network, self.x[cases], self.lengths[cases], self.classes)


def main(argv: Sequence[str] | None = None) -> int:
    """Train or load networks, write their figures, and print their faithfulness. Returns the exit code."""
    return exit_codes.run(lambda: run(argv), resume=RESUME)


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn explain",
        description="Draw the test cases of a dataset coloured by what the network looks at, and measure whether the "
        "maps are faithful. Kept weights of results=FOLDER are used; what has none is trained first.",
    )
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="as for `tsfcn run`; dataset= is needed")
    parser.add_argument("--out", type=path, metavar="FOLDER", help="where to write (default: RESULTS/explain)")
    parser.add_argument(
        "--cases", type=int, default=60, metavar="N", help="test cases that faithfulness is measured on (default: 60)"
    )
    options = parser.parse_intermixed_args(argv)
    words = canonical(options.words)
    if not any(word.startswith("dataset=") for word in words):
        raise UserError("dataset= is missing: name a dataset, as dataset=GunPoint")
    if options.cases < 1:
        raise UserError(f"--cases {options.cases} is out of range: give at least 1")
    return explain(words, options.out, options.cases)


def explain(words: Sequence[str], out: Path | None, n_cases: int) -> int:
    """Run the jobs that the words name, and explain those that are ok. Returns the exit code.

    Args:
        words: The overrides.
        out: The folder of the figures; None: RESULTS/explain.
        n_cases: Test cases that faithfulness is measured on.
    """
    from tsfcn.report import figures

    figures.check_available()
    composed = compose_all(words)
    for each in composed:
        each.run.save_weights = True
    run = composed[0].run
    results = Path(run.results)
    out = results / "explain" if out is None else out
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    code, jobs = execute_run(composed, command_line([*words, "save_weights=true"]))
    if run.dry_run:
        return code
    keys = {record.key for record in store.read(results) if store.done(record, results, True, False)}
    root = locate.root_folder(run.archive.root)
    scores = [(job, explain_job(job, results, root, out, n_cases)) for job in _unique(jobs) if job.key in keys]
    if scores:
        write_scores(scores, out)
    return code


def _unique(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs with one name for each key."""
    return list({job.key: job for job in jobs}.values())


def explain_job(job: Job, results: Path, root: Path | None, out: Path, n_cases: int) -> Faithfulness:
    """Write the figures of a job and return the faithfulness of its maps.

    Args:
        job: The job, whose weights are kept.
        results: The results folder.
        root: The folder of the archive.
        out: The folder of the figures.
        n_cases: Test cases that faithfulness is measured on.
    """
    trained = load(job, results, root)
    draw(trained, out)
    return measure(trained, n_cases)


def load(job: Job, results: Path, root: Path | None) -> TrainedJob:
    """Return a job with its kept network and its test cases. Raises UserError where the dataset has changed."""
    from tsfcn.jobs import run_job
    from tsfcn.models.weights import load_network

    network, _ = load_network(artifacts.weights_path(results, job.key))
    data = run_job.prepare(load_planned(job.dataset, job.passport, root), job)
    arrays = data.x_test, data.test_lengths
    classes = [str(label) for label in data.classes]
    return TrainedJob(job, network, *arrays, data.y_test, classes, probabilities(network, *arrays))


def probabilities(network: nn.Module, x: Floats, lengths: Int64) -> Floats:
    """Return the probability of each class, (n_cases, n_classes)."""
    import torch

    from tsfcn.training.predict import predict

    tensor = torch.from_numpy(x).to(next(network.parameters()).dtype)
    result: Floats = predict(network, tensor, torch.from_numpy(lengths)).exp().numpy()
    return result


def draw(trained: TrainedJob, out: Path) -> None:
    """Write the figures of a job: by class, the gallery, and attention where the network has it over time."""
    from tsfcn.report import figures

    job = trained.job
    title = f"{job.dataset}, {job.model}, {job.protocol}, seed {job.seed}"
    title += f", resample {job.resample}" if job.resample else ""
    name = f"{_file_name(job.dataset)}-{job.architecture}-seed{job.seed}-{job.key[:8]}"
    cases = cases_by_class(trained.labels)
    explanation, labels = trained.explain(cases), trained.labels[cases]
    drawn = {"classes": figures.by_class(explanation, labels, title)}
    if explanation.attention is not None:
        drawn["attention"] = figures.attention(explanation, labels, title)
    rows = gallery_rows(trained.probabilities, trained.labels)
    cases = np.concatenate([each for _, each in rows])
    starts = np.cumsum([0, *(len(each) for _, each in rows)]).tolist()
    places = [(row, np.arange(start, start + len(each))) for (row, each), start in zip(rows, starts, strict=False)]
    drawn["gallery"] = figures.gallery(trained.explain(cases), trained.labels[cases], places, title)
    for kind, figure in drawn.items():
        file = out / f"{name}-{kind}.png"
        figures.save(figure, file)
        exit_codes.show(str(file))


def _file_name(dataset: str) -> str:
    """Return the name of a dataset without what could lead out of a folder."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(dataset).name)


def cases_by_class(labels: Int64) -> Int64:
    """Return the positions of some cases of each class, evenly spread over the test set."""
    chosen = []
    for label in np.unique(labels):
        cases = np.flatnonzero(labels == label)
        chosen.append(cases[np.linspace(0, len(cases) - 1, min(PER_CLASS, len(cases))).astype(int)])
    return np.concatenate(chosen)


def gallery_rows(probabilities: Floats, labels: Int64) -> list[tuple[str, Int64]]:
    """Return the most and the least confident, right and wrong cases: the name of each row and positions."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right, wrong = (order[(predicted == labels)[order] == is_right] for is_right in (True, False))
    n_wrong = min(PER_ROW, (len(wrong) + 1) // 2)  # no case stands in two rows
    return [
        ("right, most confident", right[:PER_ROW]),
        ("right, least confident", right[PER_ROW:][::-1][:PER_ROW]),
        ("wrong, least confident", wrong[n_wrong:][::-1][:PER_ROW]),
        ("wrong, most confident", wrong[:n_wrong]),
    ]


def measure(trained: TrainedJob, n_cases: int) -> Faithfulness:
    """Return the faithfulness of the maps of the predicted class, on n_cases test cases evenly spread."""
    from tsfcn.analysis.faithfulness import faithfulness

    n_test = len(trained.x)
    cases = np.linspace(0, n_test - 1, min(n_cases, n_test)).astype(np.int64)
    explanation = trained.explain(cases)
    return faithfulness(
        functools.partial(probabilities, trained.network),
        trained.x[cases],
        trained.lengths[cases],
        explanation.importance(explanation.predicted),
        explanation.predicted,
        trained.job.seed,
    )


def write_scores(scores: Sequence[tuple[Job, Faithfulness]], out: Path) -> None:
    """Write faithfulness.csv and print it, with the number of jobs whose maps beat random order."""
    from tsfcn.report.html import csv_text

    rows = [(job.dataset, job.model, job.protocol, str(job.seed), str(f.n_cases), *_texts(f)) for job, f in scores]
    files.replace(out / "faithfulness.csv", lambda file: file.write(csv_text(COLUMNS, rows).encode()))
    table = grid((name, "<" if i < 3 else ">", [row[i] for row in rows]) for i, name in enumerate(COLUMNS))
    n_deletion = sum(f.deletion < f.random for _, f in scores)
    n_insertion = sum(f.insertion > f.random for _, f in scores)
    exit_codes.show(
        f"{table}\n\nMean probability of the predicted class while windows are deleted or inserted, the most important "
        f"first.\nDeletion is below random in {n_deletion} of {len(scores)} jobs, insertion above it in {n_insertion}."
    )


def _texts(scores: Faithfulness) -> tuple[str, str, str]:
    return f"{scores.deletion:.3f}", f"{scores.random:.3f}", f"{scores.insertion:.3f}"

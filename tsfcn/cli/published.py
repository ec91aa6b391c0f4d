"""`tsfcn published list`, `tsfcn published show SOURCE[/MODEL]`: show the published figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.common.text import grid
from tsfcn.data.published import Figure, _find, _sources, measured_on, models, read


def _aligned(rows: Sequence[Sequence[str]], numbers: Iterable[int]) -> str:
    """Return rows as aligned text. The first row is the header; `numbers` are the indices of columns of numbers."""
    right = set(numbers)
    columns = enumerate(zip(*rows, strict=True))
    return grid((header, ">" if i in right else "<", cells) for i, (header, *cells) in columns)


def _list() -> str:
    rows = [["source", "datasets", "models", "runs", "split", "selection"]]
    for name, source in _sources().items():
        counts = sorted({model.n_runs for model in models(name).values()})
        n_runs = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        rows.append([name, str(source.n_datasets), str(len(models(name))), n_runs, source.split, source.selected_by])
    return _aligned(rows, (1, 2, 3)) + "\n\n`tsfcn published show SOURCE` shows where each comes from."


def _show(source: str) -> str:
    passport = _sources()[source]
    parts = [
        f"{source}: {passport.paper}",
        f"from {passport.where}",
        f"split: {passport.split}; selection: {passport.selected_by}",
        *([passport.note] if passport.note else []),
        "",
    ]
    accuracies: dict[str, list[Figure]] = defaultdict(list)
    for figure in read(source):
        if figure.metric == "accuracy":
            accuracies[figure.model].append(figure)
    rows = [["model", "datasets", "runs", "mean accuracy", ""]]
    for name, model in models(source).items():
        mean = fmean(figure.mean for figure in accuracies[name])
        rows.append([name, str(len(accuracies[name])), str(model.n_runs), f"{mean:.4f}", model.note])
    parts.append(_aligned(rows, (1, 2, 3)))
    noted: dict[str, list[str]] = defaultdict(list)
    for figures in accuracies.values():
        for figure in figures:
            if figure.note:
                noted[figure.note].append(f"{figure.model} on {figure.dataset}")
    if noted:
        parts += ["", "To be read with care:"]
        parts += [f"- {note}: {', '.join(dict.fromkeys(where))}" for note, where in noted.items()]
    return "\n".join(parts)


def _show_model(source: str, name: str) -> str:
    model = models(source)[name]
    figures = [figure for figure in read(source) if figure.model == name and figure.metric == "accuracy"]
    rows = [["dataset", "accuracy", "std", "split", ""]]
    for f in figures:
        split = f.split if measured_on(f.dataset, f.split) == f.split else f"{f.split} (same in ucr2018)"
        rows.append([f.dataset, f"{f.mean:.4f}", "" if f.std is None else f"{f.std:.4f}", split, f.note])
    n_runs = "1 run" if model.n_runs == 1 else f"mean of {model.n_runs} runs"
    note = f"; {model.note}" if model.note else ""
    description = f"{source}/{name}: {n_runs}; selection: {model.selected_by}{note}"
    return f"{description}\n\n{_aligned(rows, (1, 2))}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the list of sources, or one source, or one model's figures. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn published", description="Show the published figures that tsfcn contains, and their sources."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show")
    verbs.add_parser("list", help="list the sources with their datasets, models, runs and split")
    shown = verbs.add_parser("show", help="show one source, or the figures of one model")
    shown.add_argument("what", metavar="SOURCE[/MODEL]")
    options = parser.parse_args(argv)
    if options.verb == "list":
        print(_list())
    else:
        source, model = _find(options.what)
        print(_show(source) if model is None else _show_model(source, model))
    return exit_codes.OK

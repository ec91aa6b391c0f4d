"""The page of an ablation, as Markdown or text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsfcn.analysis.ablation import DOES_NOT_MATTER, MOVES, NOT_SHOWN, Effect
from tsfcn.common import text as plain_text
from tsfcn.common.text import counted
from tsfcn.data import published
from tsfcn.jobs.record import Record
from tsfcn.report import render

_NOTE = (
    "One setting is changed at a time. `moves it`: the change is beyond the margin (0.02, or one test case) and its p, "
    "adjusted by Holm over these settings, is below 0.05; `does not matter`: its 90 % interval lies inside the margin. "
    "Rules and error rates: docs/verdict.md."
)


def page(
    title: str,
    rows: Sequence[Effect],
    figure: published.Figure | None,
    base: Record,
    command: str,
    *,
    markdown: bool = True,
) -> str:
    """Return the page of one dataset as Markdown, which is readable as text too.

    Args:
        title: its heading.
        rows: the effects, that of the base first.
        figure: the published figure, if there is one.
        base: a record of the base.
        command: the command that writes the page.
        markdown: False lays out the table as text, which folds in a terminal.
    """
    first, *others = rows
    others.sort(key=lambda e: (-abs(round(e.difference, 9)), e.variant.setting, e.variant.change))
    lines = [_base_line(first, base), _published_line(first, figure), *_outcome_lines(others)]
    body = "\n".join(f"- {plain_text.escaped(line)}" for line in lines)
    table = _table([first, *others], markdown=markdown)
    return f"# {title}\n\n{body}\n\n{table}\n\n{_NOTE}\n\n```sh\n{command}\n```\n"


def _base_line(effect: Effect, base: Record) -> str:
    n_seeds = len(effect.accuracies)
    std = f" ± {np.std(effect.accuracies, ddof=1):.4f}" if n_seeds > 1 else ""
    sizes = f"batches of {base.batch} of {base.n_train} training cases, {base.n_test} test cases"
    seeds = counted(n_seeds, "seed")
    return f"As the protocol has it: {render.fraction(effect.mean)}{std} over {seeds}, {sizes}."


def _published_line(effect: Effect, figure: published.Figure | None) -> str:
    if figure is None or effect.published is None:
        return "No published figure is available for comparison."
    std = "" if figure.std is None else f" ± {figure.std:.4f}"
    runs = "a single run" if figure.n_runs == 1 else f"{figure.n_runs} runs"
    return f"Published: {figure.mean:.4f}{std} ({figure.source}, {runs}): {effect.published.text}."


def _outcome_lines(rows: Sequence[Effect]) -> list[str]:
    """Return a line for each outcome that occurs, with its settings."""
    lines = []
    for outcome, title in (
        (MOVES, "Moves the number"),
        (NOT_SHOWN, "Not shown either way"),
        (DOES_NOT_MATTER, "Does not matter"),
    ):
        changes = [
            f"{row.variant.setting} ({row.variant.change}, {render.signed(row.difference)})"
            for row in rows
            if row.outcome == outcome
        ]
        lines += [f"{title}: {'; '.join(changes)}."] if changes else []
    return lines


def _table(rows: Sequence[Effect], *, markdown: bool) -> str:
    """Return the table of effects, that of the base first."""
    changed = rows[1:]
    compared = [
        "" if row.published is None else f"{render.signed(row.published.difference)}, {row.published.word}"
        for row in rows
    ]
    return plain_text.grid(
        [
            ("setting", "<", [row.variant.setting or "-" for row in rows]),
            ("changed to", "<", [row.variant.change for row in rows]),
            ("seeds", ">", [str(len(row.accuracies)) for row in rows]),
            ("accuracy", ">", [render.fraction(row.mean) for row in rows]),
            ("change", ">", ["", *(render.signed(row.difference) for row in changed)]),
            ("90 % interval", ">", ["", *(render.interval(row.low, row.high) for row in changed)]),
            ("p, Holm", ">", ["", *(render.p_value(row.p_holm) for row in changed)]),
            ("verdict", "<", ["", *(row.outcome for row in changed)]),
            ("beside the published", "<", compared),
        ],
        markdown=markdown,
    )

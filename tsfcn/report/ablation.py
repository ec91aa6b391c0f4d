"""The page of an ablation, as Markdown or text."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.analysis.ablation import DOES_NOT_MATTER, MOVES, NOT_SHOWN, DatasetEffects, Effect, OverallEffect
from tsfcn.common import text as plain_text
from tsfcn.common.text import counted
from tsfcn.data import published
from tsfcn.jobs.record import Record
from tsfcn.report import render

_NOTE_OVER_DATASETS = (
    "One setting is changed at a time. Changes are means over seeds with the setting minus those without it, on the "
    "same datasets. The verdict is on the typical change, the shift at which signed ranks balance, as for published "
    "figures: `different` beyond 0.005 with p < 0.05, `equivalent` with a 90 % interval inside 0.005; p is not "
    "adjusted for the number of settings. The interval of the mean change is over seeds. Rules and error rates: "
    "docs/verdict.md."
)
_NOTE = (
    "One setting is changed at a time. `moves it`: the change is beyond the margin (0.02, or one test case) and its p, "
    "adjusted by Holm over these settings, is below 0.05; `does not matter`: its 90 % interval lies inside the margin. "
    "Rules and error rates: docs/verdict.md."
)


def page(title: str, measured: DatasetEffects, command: str, *, markdown: bool = True) -> str:
    """Return the page of one dataset as Markdown, which is readable as text too.

    Args:
        title: its heading.
        measured: the effects.
        command: the command that writes the page.
        markdown: False lays out the table as text, which folds in a terminal.
    """
    first, *others = measured.effects
    others.sort(key=lambda e: (-abs(round(e.difference, 9)), e.variant.setting, e.variant.change))
    lines = [_base_line(first, measured.base), _published_line(first, measured.figure), *_outcome_lines(others)]
    body = "\n".join(f"- {plain_text.escaped(line)}" for line in lines)
    table = _table([first, *others], markdown=markdown)
    return f"# {title}\n\n{body}\n\n{table}\n\n{_NOTE}\n\n```sh\n{command}\n```\n"


def page_over_datasets(title: str, rows: Sequence[OverallEffect], command: str, *, markdown: bool = True) -> str:
    """Return the page of an ablation over several datasets as Markdown, which is readable as text too.

    Args:
        title: its heading.
        rows: what `over_datasets` returns.
        command: the command that writes the page.
        markdown: False lays out the table as text, which folds in a terminal.
    """
    base, *others = rows
    others.sort(key=lambda row: (-abs(_typical(row)), row.variant.setting, row.variant.change))
    rows = [base, *others]
    typical = [None if row.change is None else row.change.typical for row in rows]
    means = [None if row.change is None else row.change.mean for row in rows]
    beside = [None if row.published is None else row.published.typical for row in rows]
    table = plain_text.grid(
        [
            ("setting", "<", [row.variant.setting or "-" for row in rows]),
            ("changed to", "<", [row.variant.change for row in rows]),
            ("datasets", ">", [str(len(row.datasets)) for row in rows]),
            ("mean accuracy", ">", [render.fraction(row.mean) for row in rows]),
            ("typical change", ">", ["" if t is None else render.signed(t.difference) for t in typical]),
            ("90 % interval", ">", ["" if t is None else render.interval(t.low, t.high) for t in typical]),
            ("p", ">", ["" if t is None else render.p_value(t.p) for t in typical]),
            ("verdict", "<", ["" if t is None else t.text for t in typical]),
            ("mean change", ">", ["" if m is None else render.signed(m.difference) for m in means]),
            ("90 % interval of the mean", ">", ["" if m is None else render.interval(m.low, m.high) for m in means]),
            ("moves", "<", [", ".join(row.moved) for row in rows]),
            (
                "beside the published",
                "<",
                ["" if b is None else f"{render.signed(b.difference)}, {b.text}" for b in beside],
            ),
        ],
        markdown=markdown,
    )
    names = plain_text.escaped(", ".join(base.datasets))
    lines = f"- As the protocol has it: mean accuracy {render.fraction(base.mean)} over {names}."
    if base.published is not None:
        near = base.published.typical
        interval = f" ({render.interval(near.low, near.high)})" if render.interval(near.low, near.high) else ""
        lines += (
            f"\n- Beside the published figures of {counted(near.n_datasets, 'dataset')}: typical difference "
            f"{render.signed(near.difference)}{interval}: {near.text}."
        )
    return f"# {title}\n\n{lines}\n\n{table}\n\n{_NOTE_OVER_DATASETS}\n\n```sh\n{command}\n```\n"


def _typical(row: OverallEffect) -> float:
    return 0.0 if row.change is None else round(row.change.typical.difference, 9)


def _base_line(effect: Effect, base: Record) -> str:
    n_seeds = len(effect.accuracies)
    std = "" if effect.std is None else f" ± {effect.std:.4f}"
    batch = min(base.batch or 0, base.n_train or 0)
    sizes = f"batches of {batch} of {base.n_train} training cases, {base.n_test} test cases"
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
            f"{row.variant.setting} ({row.variant.text}, {render.signed(row.difference)})"
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
            ("changed to", "<", [row.variant.text for row in rows]),
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

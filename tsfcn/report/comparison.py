"""A comparison as text, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.analysis import stats
from tsfcn.analysis.compare import LEVEL, Comparison, count, farthest
from tsfcn.common import files
from tsfcn.common import text as plain_text
from tsfcn.common.errors import UserError
from tsfcn.report import render
from tsfcn.report.answer import answer, common_datasets


def text(made: Comparison, *, markdown: bool = False) -> str:
    """Return a comparison as aligned text, or as Markdown."""
    names = [column.name for column in made.columns]
    parts = [_bulleted([answer(made)], markdown=markdown), _data(made, markdown=markdown)]
    parts.append(_summary(made, markdown=markdown))
    if len(names) == 2:
        parts.append(_bulleted(_one_pair(made), markdown=markdown))
    else:
        parts.append(_bulleted(_together(made), markdown=markdown))
        parts.append(_pair_table(made, markdown=markdown))
    parts.append(_farthest(made, markdown=markdown))
    return "\n\n".join(part for part in parts if part)


def _bulleted(lines: Iterable[str], *, markdown: bool) -> str:
    return "\n".join(f"- {plain_text.escaped(line)}" for line in lines) if markdown else "\n".join(lines)


def _data(made: Comparison, *, markdown: bool) -> str:
    """Return what is compared and what is left out."""
    lines = [common_datasets(made)]
    remarks = dict.fromkeys(remark for column in made.columns for remark in column.remarks)
    lines += [remark if remark.endswith("?") else f"{remark}." for remark in remarks]
    left_out = "Left out" if len(made.columns) == 2 else "Left out of ranks and sets"
    for reason, datasets in made.left_out.items():
        lines.append(f"{left_out}: {len(datasets)} {reason}: {plain_text.listed(datasets)}.")
    if made.across:
        lines.append(
            f"ACROSS SPLITS: {count(len(made.across))} differ in their train and test cases and count all the same, "
            f"which is no fair comparison: {plain_text.listed(made.across)}."
        )
    elif any("ucr2015" in reason for reason in made.left_out):
        lines.append(
            "The files of 2015 have train and test of 14 datasets swapped; archive.split=ucr2015 trains on them."
        )
    for column in made.columns:
        noted: dict[str, list[str]] = {}
        for place, row in zip(made.places, made.cells, strict=True):
            note = row[made.columns.index(column)].note
            if note:
                noted.setdefault(note, []).append(place.dataset)
        lines += [
            f"To be read with care: {column.name} on {plain_text.listed(d)} ({note})." for note, d in noted.items()
        ]
        if "TEST-SELECTED" in column.marks:
            lines.append(f"TEST-SELECTED: {column.name} was selected on the test set: no estimate of accuracy.")
    return _bulleted(lines, markdown=markdown)


def _summary(made: Comparison, *, markdown: bool) -> str:
    order = sorted(range(len(made.columns)), key=lambda i: (made.mean_ranks[i], i))
    missing = bool(np.isnan(made.mpce).any())
    grid = plain_text.grid(
        [
            ("column", "<", [made.columns[i].name for i in order]),
            ("mean accuracy", ">", [f"{made.scores[:, i].mean():.4f}" for i in order]),
            ("MPCE", ">", ["" if missing else f"{made.mpce[i]:.4f}" for i in order]),
            ("mean rank", ">", [f"{made.mean_ranks[i]:.4f}" for i in order]),
            ("wins", ">", [str(made.wins[i]) for i in order]),
            ("marks", "<", [made.columns[i].marks for i in order]),
            ("what it is", "<", [made.columns[i].description for i in order]),
        ],
        markdown=markdown,
    )
    said = "Mean rank: 1 is best, equal accuracies get their "
    said += "average rank" if made.how_ties == "average" else "best rank (ties=min)"
    notes: dict[str, list[str]] = {}
    for i in order:
        if made.columns[i].note:
            notes.setdefault(made.columns[i].note, []).append(made.columns[i].name)
    lines = [f"{said}. Wins: ties at the top count for each."]
    lines += [f"{', '.join(names)}: {note}." for note, names in notes.items()]
    return f"{grid}\n\n{_bulleted(lines, markdown=markdown)}"


def _test(test: stats.Wilcoxon) -> str:
    return f"{test.method}, zero_method={test.zeros}, {test.n_zeros} zero{'' if test.n_zeros == 1 else 's'}"


def _one_pair(made: Comparison) -> list[str]:
    """Return the lines on a comparison of two columns."""
    (pair,) = made.pairs
    first, second = (made.columns[i].name for i in (pair.first, pair.second))
    lines = [
        f"{first} minus {second}: {render.signed(pair.difference)} on average"
        + (
            f", {LEVEL:.0%} bootstrap over datasets {render.interval(pair.low, pair.high)}."
            if len(made.places) > 1
            else "."
        ),
        f"{first} better on {pair.wins}, equal on {pair.ties}, {second} better on {pair.losses}.",
        f"Wilcoxon signed ranks, two-sided: p = {render.p_value(pair.test.p)} ({_test(pair.test)}): "
        + (f"they differ at {made.alpha:g}." if pair.p_holm < made.alpha else "no difference shown."),
        (
            f"Bayesian signed ranks, region of equivalence ±{pair.bayes.rope:g}: "
            f"{first} better {render.p_value(pair.bayes.first)}, equivalent {render.p_value(pair.bayes.equivalent)}, "
            f"{second} better {render.p_value(pair.bayes.second)}."
        ),
    ]
    least = 2.0 ** (1 - (pair.test.n - pair.test.n_zeros))
    if pair.ties == len(made.places):
        lines.append("The two columns are identical.")
    elif least >= made.alpha:
        lines.append(
            f"{count(len(made.places))} cannot show a difference: the smallest possible p is {render.p_value(least)}."
        )
    return lines


def _together(made: Comparison) -> list[str]:
    """Return the lines on a comparison of three columns or more."""
    assert made.friedman is not None
    best = sorted(range(len(made.columns)), key=lambda i: (made.mean_ranks[i], i))
    lines = [
        (
            f"Friedman: chi2 = {made.friedman.chi2:.3f}, {made.friedman.df} degrees of freedom, "
            f"p = {render.p_value(made.friedman.p)}."
        )
    ]
    groups = [[made.columns[i].name for i in best if i in clique] for clique in made.cliques]
    groups.sort(key=lambda group: [[made.columns[i].name for i in best].index(name) for name in group])
    said = "; ".join("{" + ", ".join(group) + "}" for group in groups) or "none, every two differ"
    lines.append(f"Sets of which no two differ (signed ranks, Holm, {made.alpha:g}): {said}.")
    return lines


def _pair_table(made: Comparison, *, markdown: bool) -> str:
    """Return the table of pairs; with more than ten columns, those of the best-ranked one."""
    best = int(np.argmin(made.mean_ranks))
    few = len(made.columns) <= 10
    shown = [pair for pair in made.pairs if few or best in (pair.first, pair.second)]
    shown.sort(key=lambda pair: (pair.p_holm, pair.test.p))
    names = [column.name for column in made.columns]
    grid = plain_text.grid(
        [
            ("first", "<", [names[pair.first] for pair in shown]),
            ("second", "<", [names[pair.second] for pair in shown]),
            ("datasets", ">", [str(pair.test.n) for pair in shown]),
            ("difference", ">", [render.signed(pair.difference) for pair in shown]),
            (f"{LEVEL:.0%} bootstrap", ">", [render.interval(pair.low, pair.high) for pair in shown]),
            ("better/equal/worse", ">", [f"{pair.wins}/{pair.ties}/{pair.losses}" for pair in shown]),
            ("p", ">", [render.p_value(pair.test.p) for pair in shown]),
            ("p, Holm", ">", [render.p_value(pair.p_holm) for pair in shown]),
            (
                "better/equivalent/worse",
                ">",
                [f"{p.bayes.first:.2f}/{p.bayes.equivalent:.2f}/{p.bayes.second:.2f}" for p in shown],
            ),
        ],
        markdown=markdown,
    )
    test = shown[0].test
    methods = " or ".join(sorted({pair.test.method for pair in shown}))
    said = [
        f"p: Wilcoxon signed ranks, two-sided ({methods}, zero_method={test.zeros}).",
        f"better/equivalent/worse: chances by Bayesian signed ranks, region of equivalence ±{shown[0].bayes.rope:g}.",
    ]
    if not few:
        said.append(f"Of {len(made.pairs)} pairs those with the best-ranked column; --json has all.")
    return grid + "\n\n" + _bulleted(said, markdown=markdown)


def _farthest(made: Comparison, *, markdown: bool) -> str:
    rows = farthest(made)
    if not rows:
        return ""
    two = len(made.columns) == 2
    grid = plain_text.grid(
        [
            ("differ most", "<", [row["dataset"] for row in rows]),
            ("best", "<", ["" if two else row["first"] for row in rows]),
            (rows[0]["first"] if two else "accuracy", ">", [f"{row['accuracy_first']:.4f}" for row in rows]),
            ("worst", "<", ["" if two else row["second"] for row in rows]),
            (rows[0]["second"] if two else "its accuracy", ">", [f"{row['accuracy_second']:.4f}" for row in rows]),
            ("difference", ">", [render.signed(row["difference"]) for row in rows]),
            ("seed noise", "<", [row["noise"] for row in rows]),
        ],
        markdown=markdown,
    )
    return f"{grid}\n\nSeed noise: whether the runs of a dataset explain its difference ({LEVEL:.0%}, each by itself)."


def as_csv(made: Comparison) -> str:
    """Return the compared accuracies: dataset, split, a column a model. `tsfcn compare` reads it again."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["dataset", "split", *(column.name for column in made.columns)])
    for place, scores in zip(made.places, made.scores, strict=True):
        writer.writerow([place.dataset, place.split, *(f"{value:.6f}" for value in scores)])
    return out.getvalue()


def as_json(made: Comparison) -> str:
    """Return everything of a comparison as JSON; fractions with all digits, null for what is not known."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else float(value)

    names = [column.name for column in made.columns]
    said: dict[str, Any] = {
        "answer": answer(made),
        "columns": [
            {
                "name": column.name,
                "origin": column.origin,
                "marks": column.marks,
                "description": column.description,
                "note": column.note,
                "remarks": column.remarks,
                "mean_accuracy": float(made.scores[:, i].mean()),
                "mpce": number(made.mpce[i]),
                "mean_rank": float(made.mean_ranks[i]),
                "wins": int(made.wins[i]),
            }
            for i, column in enumerate(made.columns)
        ],
        "ties": made.how_ties,
        "alpha": made.alpha,
        "n_datasets": len(made.places),
        "left_out": made.left_out,
        "across_splits": made.across,
        "friedman": None
        if made.friedman is None
        else {"chi2": made.friedman.chi2, "df": made.friedman.df, "p": made.friedman.p},
        "not_different": [[names[i] for i in clique] for clique in made.cliques],
        "pairs": [
            {
                "first": names[pair.first],
                "second": names[pair.second],
                "n_datasets": pair.test.n,
                "difference": pair.difference,
                "bootstrap_95": [number(pair.low), number(pair.high)],
                "wins": pair.wins,
                "ties": pair.ties,
                "losses": pair.losses,
                "wilcoxon_p": pair.test.p,
                "wilcoxon_p_holm": pair.p_holm,
                "wilcoxon_method": pair.test.method,
                "zero_method": pair.test.zeros,
                "n_zeros": pair.test.n_zeros,
                "bayesian": [pair.bayes.first, pair.bayes.equivalent, pair.bayes.second],
                "rope": pair.bayes.rope,
            }
            for pair in made.pairs
        ],
        "datasets": [
            {
                "dataset": place.dataset,
                "split": place.split,
                "accuracy": [float(value) for value in scores],
                "std": [cell.std for cell in cells],
                "n_runs": [cell.n_runs for cell in cells],
                "notes": [cell.note for cell in cells],
            }
            for place, scores, cells in zip(made.places, made.scores, made.cells, strict=True)
        ],
        "differ_most": farthest(made, len(made.places)),
    }
    return json.dumps(said, indent=1, allow_nan=False) + "\n"


def _latex(words: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in words)


def as_latex(made: Comparison) -> str:
    """Return the accuracies as a LaTeX table (booktabs), the best of a dataset in bold, then what the tests say."""
    names = [_latex(column.name) for column in made.columns]
    lines = [
        "% \\usepackage{booktabs,longtable}",
        f"\\begin{{longtable}}{{l{'r' * len(names)}}}",
        "\\toprule",
        " & ".join(["dataset", *names]) + r" \\",
        "\\midrule",
        "\\endhead",
    ]
    for place, scores, best in zip(made.places, made.scores, made.best, strict=True):
        cells = [f"\\textbf{{{v:.4f}}}" if is_best else f"{v:.4f}" for v, is_best in zip(scores, best, strict=True)]
        lines.append(" & ".join([_latex(place.dataset), *cells]) + r" \\")
    summed = {
        "mean accuracy": [f"{v:.4f}" for v in made.scores.mean(axis=0)],
        "MPCE": [] if np.isnan(made.mpce).any() else [f"{v:.4f}" for v in made.mpce],
        f"mean rank (ties: {made.how_ties})": [f"{v:.4f}" for v in made.mean_ranks],
        "wins": [str(v) for v in made.wins],
    }
    lines.append("\\midrule")
    lines += [" & ".join([name, *values]) + r" \\" for name, values in summed.items() if values]
    lines += ["\\bottomrule", "\\end{longtable}"]
    said = _one_pair(made) if len(made.columns) == 2 else _together(made)
    lines += [_latex(line).replace("±", r"$\pm$") for line in said]
    return "\n".join(lines) + "\n"


def _write(name: str, written: str) -> None:
    if name == "-":
        print(written.rstrip("\n"))
        return
    try:
        files.replace(Path(name), lambda file: file.write(written.encode()))
    except OSError as error:
        raise UserError(
            f"file '{name}' is not writable ({error.strerror}): name one in a folder that is there"
        ) from error

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
from tsfcn.analysis.compare import LEVEL, Comparison, count, largest_differences
from tsfcn.common import files
from tsfcn.common import text as plain_text
from tsfcn.common.errors import UserError
from tsfcn.report import render


def text(comparison: Comparison, *, markdown: bool = False) -> str:
    """Return a comparison as aligned text, or as Markdown."""
    names = [column.name for column in comparison.columns]
    parts = [_dataset_lines(comparison, markdown=markdown), _summary(comparison, markdown=markdown)]
    if len(names) == 2:
        parts.append(_bulleted(_pair_lines(comparison), markdown=markdown))
    else:
        parts.append(_bulleted(_joint_lines(comparison), markdown=markdown))
        parts.append(_pair_table(comparison, markdown=markdown))
    parts.append(_largest_differences(comparison, markdown=markdown))
    return "\n\n".join(part for part in parts if part)


def _bulleted(lines: Iterable[str], *, markdown: bool) -> str:
    return "\n".join(f"- {plain_text.escaped(line)}" for line in lines) if markdown else "\n".join(lines)


def _dataset_lines(comparison: Comparison, *, markdown: bool) -> str:
    """Return what is compared and what is left out."""
    counts: dict[str, int] = {}
    for place in comparison.places:
        counts[place.split] = counts.get(place.split, 0) + 1
    where = ", ".join(f"{n} on {split}" for split, n in counts.items()) if len(counts) > 1 else next(iter(counts))
    lines = [f"{count(len(comparison.places))} in common ({where})."]
    for reason, datasets in comparison.left_out.items():
        lines.append(f"Left out: {len(datasets)} {reason}: {plain_text.listed(datasets)}.")
    if comparison.across_splits:
        lines.append(
            f"ACROSS SPLITS: {count(len(comparison.across_splits))} differ in their train and test cases and are "
            f"included anyway, which is not a fair comparison: {plain_text.listed(comparison.across_splits)}."
        )
    elif any("ucr2015" in reason for reason in comparison.left_out):
        lines.append(
            "The files of 2015 have train and test of 14 datasets swapped; archive.split=ucr2015 trains on them."
        )
    for column in comparison.columns:
        noted: dict[str, list[str]] = {}
        for place, row in zip(comparison.places, comparison.cells, strict=True):
            note = row[comparison.columns.index(column)].note
            if note:
                noted.setdefault(note, []).append(place.dataset)
        lines += [
            f"To be read with care: {column.name} on {plain_text.listed(d)} ({note})." for note, d in noted.items()
        ]
        if "TEST-SELECTED" in column.marks:
            lines.append(f"TEST-SELECTED: {column.name} was selected on the test set: no estimate of accuracy.")
    return _bulleted(lines, markdown=markdown)


def _summary(comparison: Comparison, *, markdown: bool) -> str:
    order = sorted(range(len(comparison.columns)), key=lambda i: (comparison.mean_ranks[i], i))
    missing = bool(np.isnan(comparison.mpce).any())
    grid = plain_text.grid(
        [
            ("column", "<", [comparison.columns[i].name for i in order]),
            ("mean accuracy", ">", [f"{comparison.scores[:, i].mean():.4f}" for i in order]),
            ("MPCE", ">", ["" if missing else f"{comparison.mpce[i]:.4f}" for i in order]),
            ("mean rank", ">", [f"{comparison.mean_ranks[i]:.4f}" for i in order]),
            ("wins", ">", [str(comparison.wins[i]) for i in order]),
            ("marks", "<", [comparison.columns[i].marks for i in order]),
            ("what it is", "<", [comparison.columns[i].description for i in order]),
        ],
        markdown=markdown,
    )
    said = "Mean rank: 1 is best, equal accuracies get their "
    said += "average rank" if comparison.tie_method == "average" else "best rank (ties=min)"
    notes: dict[str, list[str]] = {}
    for i in order:
        if comparison.columns[i].note:
            notes.setdefault(comparison.columns[i].note, []).append(comparison.columns[i].name)
    lines = [f"{said}. Wins: ties at the top count for each."]
    lines += [f"{', '.join(names)}: {note}." for note, names in notes.items()]
    return f"{grid}\n\n{_bulleted(lines, markdown=markdown)}"


def _test(test: stats.Wilcoxon) -> str:
    return f"{test.method}, zero_method={test.zeros}, {test.n_zeros} zero{'' if test.n_zeros == 1 else 's'}"


def _pair_lines(comparison: Comparison) -> list[str]:
    """Return the lines on a comparison of two columns."""
    (pair,) = comparison.pairs
    first, second = (comparison.columns[i].name for i in (pair.first, pair.second))
    lines = [
        f"{first} minus {second}: {render.signed(pair.difference)} on average"
        + (
            f", {LEVEL:.0%} bootstrap over datasets {render.interval(pair.low, pair.high)}."
            if len(comparison.places) > 1
            else "."
        ),
        f"{first} better on {pair.wins}, equal on {pair.ties}, {second} better on {pair.losses}.",
        f"Wilcoxon signed ranks, two-sided: p = {render.p_value(pair.test.p)} ({_test(pair.test)}): "
        + (f"they differ at {comparison.alpha:g}." if pair.p_holm < comparison.alpha else "no difference shown."),
        (
            f"Bayesian signed ranks, region of equivalence ±{pair.bayes.rope:g}: "
            f"{first} better {render.p_value(pair.bayes.first)}, equivalent {render.p_value(pair.bayes.equivalent)}, "
            f"{second} better {render.p_value(pair.bayes.second)}."
        ),
    ]
    least = 2.0 ** (1 - (pair.test.n - pair.test.n_zeros))
    if pair.ties == len(comparison.places):
        lines.append("The two columns are identical.")
    elif least >= comparison.alpha:
        lines.append(
            f"{count(len(comparison.places))} cannot show a difference: "
            f"the smallest possible p is {render.p_value(least)}."
        )
    return lines


def _joint_lines(comparison: Comparison) -> list[str]:
    """Return the lines on a comparison of three columns or more."""
    assert comparison.friedman is not None
    best = sorted(range(len(comparison.columns)), key=lambda i: (comparison.mean_ranks[i], i))
    lines = [
        (
            f"Friedman: chi2 = {comparison.friedman.chi2:.3f}, {comparison.friedman.df} degrees of freedom, "
            f"p = {render.p_value(comparison.friedman.p)}."
        )
    ]
    groups = [[comparison.columns[i].name for i in best if i in clique] for clique in comparison.cliques]
    groups.sort(key=lambda group: [[comparison.columns[i].name for i in best].index(name) for name in group])
    said = "; ".join("{" + ", ".join(group) + "}" for group in groups) or "none, every two differ"
    lines.append(f"Sets of which no two differ (signed ranks, Holm, {comparison.alpha:g}): {said}.")
    return lines


def _pair_table(comparison: Comparison, *, markdown: bool) -> str:
    """Return the table of pairs; with more than ten columns, those of the best-ranked one."""
    best = int(np.argmin(comparison.mean_ranks))
    few = len(comparison.columns) <= 10
    shown = [pair for pair in comparison.pairs if few or best in (pair.first, pair.second)]
    shown.sort(key=lambda pair: (pair.p_holm, pair.test.p))
    names = [column.name for column in comparison.columns]
    grid = plain_text.grid(
        [
            ("first", "<", [names[pair.first] for pair in shown]),
            ("second", "<", [names[pair.second] for pair in shown]),
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
        said.append(f"Of {len(comparison.pairs)} pairs those with the best-ranked column; --json has all.")
    return grid + "\n\n" + _bulleted(said, markdown=markdown)


def _largest_differences(comparison: Comparison, *, markdown: bool) -> str:
    rows = largest_differences(comparison)
    if not rows:
        return ""
    two = len(comparison.columns) == 2
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


def as_csv(comparison: Comparison) -> str:
    """Return the compared accuracies: dataset, split, a column a model. `tsfcn compare` reads it again."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["dataset", "split", *(column.name for column in comparison.columns)])
    for place, scores in zip(comparison.places, comparison.scores, strict=True):
        writer.writerow([place.dataset, place.split, *(f"{value:.6f}" for value in scores)])
    return out.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return everything of a comparison as JSON; fractions with all digits, null for what is not known."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else float(value)

    names = [column.name for column in comparison.columns]
    said: dict[str, Any] = {
        "columns": [
            {
                "name": column.name,
                "origin": column.origin,
                "marks": column.marks,
                "description": column.description,
                "note": column.note,
                "mean_accuracy": float(comparison.scores[:, i].mean()),
                "mpce": number(comparison.mpce[i]),
                "mean_rank": float(comparison.mean_ranks[i]),
                "wins": int(comparison.wins[i]),
            }
            for i, column in enumerate(comparison.columns)
        ],
        "ties": comparison.tie_method,
        "alpha": comparison.alpha,
        "n_datasets": len(comparison.places),
        "left_out": comparison.left_out,
        "across_splits": comparison.across_splits,
        "friedman": None
        if comparison.friedman is None
        else {"chi2": comparison.friedman.chi2, "df": comparison.friedman.df, "p": comparison.friedman.p},
        "not_different": [[names[i] for i in clique] for clique in comparison.cliques],
        "pairs": [
            {
                "first": names[pair.first],
                "second": names[pair.second],
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
            for pair in comparison.pairs
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
            for place, scores, cells in zip(comparison.places, comparison.scores, comparison.cells, strict=True)
        ],
        "differ_most": largest_differences(comparison, len(comparison.places)),
    }
    return json.dumps(said, indent=1, allow_nan=False) + "\n"


def _latex(words: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in words)


def as_latex(comparison: Comparison) -> str:
    """Return the accuracies as a LaTeX table (booktabs), the best of a dataset in bold, then what the tests say."""
    names = [_latex(column.name) for column in comparison.columns]
    lines = [
        "% \\usepackage{booktabs,longtable}",
        f"\\begin{{longtable}}{{l{'r' * len(names)}}}",
        "\\toprule",
        " & ".join(["dataset", *names]) + r" \\",
        "\\midrule",
        "\\endhead",
    ]
    for place, scores in zip(comparison.places, comparison.scores, strict=True):
        cells = [f"\\textbf{{{v:.4f}}}" if v == scores.max() else f"{v:.4f}" for v in scores]
        lines.append(" & ".join([_latex(place.dataset), *cells]) + r" \\")
    summed = {
        "mean accuracy": [f"{v:.4f}" for v in comparison.scores.mean(axis=0)],
        "MPCE": [] if np.isnan(comparison.mpce).any() else [f"{v:.4f}" for v in comparison.mpce],
        f"mean rank (ties: {comparison.tie_method})": [f"{v:.4f}" for v in comparison.mean_ranks],
        "wins": [str(v) for v in comparison.wins],
    }
    lines.append("\\midrule")
    lines += [" & ".join([name, *values]) + r" \\" for name, values in summed.items() if values]
    lines += ["\\bottomrule", "\\end{longtable}"]
    said = _pair_lines(comparison) if len(comparison.columns) == 2 else _joint_lines(comparison)
    lines += [_latex(line).replace("±", r"$\pm$") for line in said]
    return "\n".join(lines) + "\n"


def write(name: str, written: str) -> None:
    """Write text to the file `name`, atomically, or print it for '-'. Raises UserError if the file is not writable."""
    if name == "-":
        print(written.rstrip("\n"))
        return
    try:
        files.replace(Path(name), lambda file: file.write(written.encode()))
    except OSError as error:
        raise UserError(
            f"file '{name}' is not writable ({error.strerror}): name one in a folder that is there"
        ) from error

"""A comparison as text, Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.analysis.compare import LEVEL, Comparison, Pair, farthest, typical_difference
from tsfcn.common import files
from tsfcn.common import text as plain_text
from tsfcn.common.text import counted
from tsfcn.report import render
from tsfcn.report.answer import answer, common_datasets, datasets_by_note, friedman_line, sets_in_words

MOST_COLUMNS = 10  # of which all pairs are listed


def text(comparison: Comparison, *, markdown: bool = False) -> str:
    """Return a comparison as aligned text, or as Markdown."""
    parts = [_paragraph([answer(comparison)], markdown=markdown), _data(comparison, markdown=markdown)]
    parts.append(_summary(comparison, markdown=markdown))
    if len(comparison.columns) == 2:
        parts.append(_paragraph(_pair_lines(comparison), markdown=markdown))
    else:
        parts.append(_paragraph(_test_lines(comparison), markdown=markdown))
        parts.append(_pair_table(comparison, markdown=markdown))
    parts.append(_farthest(comparison, markdown=markdown))
    return "\n\n".join(part for part in parts if part)


def _paragraph(lines: Iterable[str], *, markdown: bool) -> str:
    """Return lines as they are, or as a Markdown list."""
    return "\n".join(f"- {plain_text.escaped(line)}" for line in lines) if markdown else "\n".join(lines)


def _names(comparison: Comparison) -> list[str]:
    return [column.name for column in comparison.columns]


# ---------------------------------------------------------------------------------------------------------------------
# The datasets


def _data(comparison: Comparison, *, markdown: bool) -> str:
    """Return which datasets are compared, which are left out, and what limits the comparison."""
    lines = [common_datasets(comparison)]
    remarks = dict.fromkeys(remark for column in comparison.columns for remark in column.remarks)
    lines += [remark if remark.endswith("?") else f"{remark}." for remark in remarks]
    if comparison.disjoint:
        lines.append(f"Not compared, since too few datasets would be common: {plain_text.listed(comparison.disjoint)}.")
    left_out = "Left out" if len(comparison.columns) == 2 else "Left out of ranks and sets"
    for reason, datasets in comparison.left_out.items():
        lines.append(f"{left_out}: {len(datasets)} {reason}: {plain_text.listed(datasets)}.")
    if comparison.across:
        across = counted(len(comparison.across), "dataset")
        lines.append(
            f"ACROSS SPLITS: {across} differ in their train and test cases and are compared "
            f"nevertheless, which is not fair: {plain_text.listed(comparison.across)}."
        )
    elif any("ucr2015" in reason for reason in comparison.left_out):
        lines.append(
            "The files of 2015 have train and test of 14 datasets swapped; archive.split=ucr2015 trains on them."
        )
    return _paragraph([*lines, *_caveats(comparison)], markdown=markdown)


def _caveats(comparison: Comparison) -> list[str]:
    """Return a line for each note on figures of a column, and for each column selected on the test set."""
    lines = []
    for i, column in enumerate(comparison.columns):
        lines += [
            f"To be read with care: {column.name} on {plain_text.listed(datasets)} ({note})."
            for note, datasets in datasets_by_note(comparison, i).items()
        ]
        if "TEST-SELECTED" in column.marks:
            lines.append(
                f"TEST-SELECTED: the weights of {column.name} were selected on the test set: an upper bound, not an "
                "estimate of accuracy."
            )
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# The columns


def _summary(comparison: Comparison, *, markdown: bool) -> str:
    order = comparison.best_first
    missing = bool(np.isnan(comparison.mpce).any())
    columns = [comparison.columns[i] for i in order]
    grid = plain_text.grid(
        [
            ("column", "<", [column.name for column in columns]),
            ("mean accuracy", ">", [f"{comparison.scores[:, i].mean():.4f}" for i in order]),
            ("MPCE", ">", ["" if missing else f"{comparison.mpce[i]:.4f}" for i in order]),
            ("mean rank", ">", [f"{comparison.mean_ranks[i]:.4f}" for i in order]),
            ("wins", ">", [str(comparison.wins[i]) for i in order]),
            ("marks", "<", [column.marks for column in columns]),
            ("description", "<", [column.description for column in columns]),
        ],
        markdown=markdown,
    )
    names_by_note: dict[str, list[str]] = defaultdict(list)
    for column in columns:
        if column.note:
            names_by_note[column.note].append(column.name)
    rank = "average rank" if comparison.how_ties == "average" else "best rank (ties=min)"
    lines = [f"Mean rank: 1 is best, equal accuracies get their {rank}. Wins: a tie for the best counts for each."]
    lines += [f"{', '.join(names)}: {note}." for note, names in names_by_note.items()]
    return f"{grid}\n\n{_paragraph(lines, markdown=markdown)}"


# ---------------------------------------------------------------------------------------------------------------------
# The tests


def _pair_lines(comparison: Comparison) -> list[str]:
    """Return the lines on a comparison of two columns."""
    (pair,) = comparison.pairs
    first, second = _names(comparison)
    interval = f", {LEVEL:.0%} interval over datasets {render.interval(pair.low, pair.high)}"
    outcome = f"they differ at {comparison.alpha:g}" if pair.p_holm < comparison.alpha else "no difference shown"
    method = f"{pair.test.method}, zero_method={pair.test.zeros}, {pair.test.n_zeros} zero"
    method += "" if pair.test.n_zeros == 1 else "s"
    return [
        f"{first} minus {second}: {render.signed(pair.difference)} on average"
        + ("." if math.isnan(pair.low) else f"{interval}."),
        f"{first} better on {pair.wins}, equal on {pair.ties}, {second} better on {pair.losses}.",
        f"Wilcoxon signed ranks, two-sided: p = {render.p_value(pair.test.p)} ({method}): {outcome}.",
        (
            f"Bayesian signed ranks, region of equivalence ±{pair.bayes.rope:g}: "
            f"{first} better {render.p_value(pair.bayes.first)}, equivalent {render.p_value(pair.bayes.equivalent)}, "
            f"{second} better {render.p_value(pair.bayes.second)}."
        ),
        *_typical_difference(comparison, first, second),
        *_limits(comparison, pair),
    ]


def _typical_difference(comparison: Comparison, first: str, second: str) -> list[str]:
    """Return the line with the verdict on the typical difference of two columns of runs, [] where it has no verdict."""
    typical = typical_difference(comparison)
    if typical is None:
        return []
    within = "" if math.isnan(typical.low) else f" (90% {render.interval(typical.low, typical.high)})"
    difference = f"{first} minus {second}: {render.signed(typical.difference)}{within}"
    return [f"Typical difference over datasets, {difference}, {typical.text} (docs/verdict.md)."]


def _limits(comparison: Comparison, pair: Pair) -> list[str]:
    """Return the line that says why two columns cannot be shown to differ, if so."""
    least = 2.0 ** (1 - (pair.test.n - pair.test.n_zeros))
    if pair.ties == len(comparison.places):
        return ["The two columns are identical."]
    if least >= comparison.alpha:
        datasets = counted(len(comparison.places), "dataset")
        return [f"{datasets} cannot show a difference: the smallest possible p is {render.p_value(least)}."]
    return []


def _test_lines(comparison: Comparison) -> list[str]:
    """Return the lines on a comparison of three columns or more."""
    assert comparison.friedman is not None
    sets = sets_in_words(comparison)
    return [
        friedman_line(comparison.friedman),
        f"Sets of which no two differ (signed ranks, Holm, {comparison.alpha:g}): {sets}.",
    ]


def _listed_pairs(comparison: Comparison) -> list[Pair]:
    """Return all pairs, or with more than MOST_COLUMNS columns those of the best-ranked one, least p first."""
    best, few = int(np.argmin(comparison.mean_ranks)), len(comparison.columns) <= MOST_COLUMNS
    pairs = [pair for pair in comparison.pairs if few or best in (pair.first, pair.second)]
    return sorted(pairs, key=lambda pair: (pair.p_holm, pair.test.p))


def _pair_table(comparison: Comparison, *, markdown: bool) -> str:
    pairs, names = _listed_pairs(comparison), _names(comparison)
    chances = [f"{p.bayes.first:.2f}/{p.bayes.equivalent:.2f}/{p.bayes.second:.2f}" for p in pairs]
    grid = plain_text.grid(
        [
            ("first", "<", [names[pair.first] for pair in pairs]),
            ("second", "<", [names[pair.second] for pair in pairs]),
            ("datasets", ">", [str(pair.test.n) for pair in pairs]),
            ("difference", ">", [render.signed(pair.difference) for pair in pairs]),
            (f"{LEVEL:.0%} interval", ">", [render.interval(pair.low, pair.high) for pair in pairs]),
            ("better/equal/worse", ">", [f"{pair.wins}/{pair.ties}/{pair.losses}" for pair in pairs]),
            ("p", ">", [render.p_value(pair.test.p) for pair in pairs]),
            ("p, Holm", ">", [render.p_value(pair.p_holm) for pair in pairs]),
            ("better/equivalent/worse", ">", chances),
        ],
        markdown=markdown,
    )
    methods = " or ".join(sorted({pair.test.method for pair in pairs}))
    lines = [
        f"p: Wilcoxon signed ranks, two-sided ({methods}, zero_method={pairs[0].test.zeros}).",
        f"better/equivalent/worse: chances by Bayesian signed ranks, region of equivalence ±{pairs[0].bayes.rope:g}.",
    ]
    if len(pairs) < len(comparison.pairs):
        lines.append(f"Only the pairs of the best-ranked column, of {len(comparison.pairs)}; --json lists all of them.")
    return f"{grid}\n\n{_paragraph(lines, markdown=markdown)}"


def _farthest(comparison: Comparison, *, markdown: bool) -> str:
    rows = farthest(comparison)
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
    note = f"Seed noise: whether the runs of a dataset explain its difference ({LEVEL:.0%}, each dataset separately)."
    return f"{grid}\n\n{note}"


# ---------------------------------------------------------------------------------------------------------------------
# Files


def as_csv(comparison: Comparison) -> str:
    """Return the compared accuracies as CSV, which `tsfcn compare` reads: dataset, split, a column for each model."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = map(plain_text.spreadsheet_text, _names(comparison))
    writer.writerow(["dataset", "split", *names])
    for place, scores in zip(comparison.places, comparison.scores, strict=True):
        dataset = plain_text.spreadsheet_text(place.dataset)
        writer.writerow([dataset, place.split, *(f"{value:.6f}" for value in scores)])
    return out.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return all of a comparison as JSON: fractions with all digits, null for unknown values."""
    names, friedman = _names(comparison), comparison.friedman
    content: dict[str, Any] = {
        "answer": answer(comparison),
        "columns": [_column_json(comparison, i) for i in range(len(names))],
        "ties": comparison.how_ties,
        "alpha": comparison.alpha,
        "n_datasets": len(comparison.places),
        "left_out": comparison.left_out,
        "not_compared": comparison.disjoint,
        "across_splits": comparison.across,
        "friedman": None if friedman is None else {"chi2": friedman.chi2, "df": friedman.df, "p": friedman.p},
        "not_different": [[names[i] for i in clique] for clique in comparison.cliques],
        "pairs": [_pair_json(pair, names) for pair in comparison.pairs],
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
        "differ_most": farthest(comparison, len(comparison.places)),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _number_json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _column_json(comparison: Comparison, i: int) -> dict[str, Any]:
    column = comparison.columns[i]
    return {
        "name": column.name,
        "origin": column.origin,
        "marks": column.marks,
        "description": column.description,
        "note": column.note,
        "remarks": column.remarks,
        "mean_accuracy": float(comparison.scores[:, i].mean()),
        "mpce": _number_json(comparison.mpce[i]),
        "mean_rank": float(comparison.mean_ranks[i]),
        "wins": int(comparison.wins[i]),
    }


def _pair_json(pair: Pair, names: list[str]) -> dict[str, Any]:
    return {
        "first": names[pair.first],
        "second": names[pair.second],
        "n_datasets": pair.test.n,
        "difference": pair.difference,
        "interval_95": [_number_json(pair.low), _number_json(pair.high)],
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


def as_latex(comparison: Comparison) -> str:
    """Return the accuracies as a LaTeX table (booktabs) with the best of each dataset in bold, and the test results."""
    names = [_latex(name) for name in _names(comparison)]
    lines = [
        "% \\usepackage{booktabs,longtable}",
        f"\\begin{{longtable}}{{l{'r' * len(names)}}}",
        "\\toprule",
        " & ".join(["dataset", *names]) + r" \\",
        "\\midrule",
        "\\endhead",
    ]
    for place, scores, best in zip(comparison.places, comparison.scores, comparison.best, strict=True):
        cells = [f"\\textbf{{{v:.4f}}}" if is_best else f"{v:.4f}" for v, is_best in zip(scores, best, strict=True)]
        lines.append(" & ".join([_latex(place.dataset), *cells]) + r" \\")
    summary = {
        "mean accuracy": [f"{v:.4f}" for v in comparison.scores.mean(axis=0)],
        "MPCE": [] if np.isnan(comparison.mpce).any() else [f"{v:.4f}" for v in comparison.mpce],
        f"mean rank (ties: {comparison.how_ties})": [f"{v:.4f}" for v in comparison.mean_ranks],
        "wins": [str(v) for v in comparison.wins],
    }
    lines.append("\\midrule")
    lines += [" & ".join([name, *values]) + r" \\" for name, values in summary.items() if values]
    lines += ["\\bottomrule", "\\end{longtable}"]
    tests = _pair_lines(comparison) if len(names) == 2 else _test_lines(comparison)
    lines += [_latex(line).replace("±", r"$\pm$") for line in tests]
    return "\n".join(lines) + "\n"


def _latex(content: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(char, f"\\{char}" if char in "&%$#_{}" else char) for char in content)


def write(name: str, content: str) -> None:
    """Write a text to the file `name`, which is replaced at once, or print it where the name is '-'."""
    if name == "-":
        print(content.rstrip("\n"))
        return
    files.write_output(Path(name), lambda file: file.write(content.encode()))

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
from tsfcn.analysis.compare import LEVEL, Comparison, Pair, count, largest_differences
from tsfcn.common import files
from tsfcn.common import text as plain_text
from tsfcn.common.errors import UserError
from tsfcn.report import render


def text(comparison: Comparison, *, markdown: bool = False) -> str:
    """Return a comparison as aligned text, or as Markdown."""
    names = [column.name for column in comparison.columns]
    parts = [_bulleted([answer(comparison)], markdown=markdown), _dataset_lines(comparison, markdown=markdown)]
    parts.append(_summary(comparison, markdown=markdown))
    if len(names) == 2:
        parts.append(_bulleted(_pair_lines(comparison), markdown=markdown))
    else:
        parts.append(_bulleted(_joint_lines(comparison), markdown=markdown))
        parts.append(_pair_table(comparison, markdown=markdown))
    parts.append(_largest_differences(comparison, markdown=markdown))
    return "\n\n".join(part for part in parts if part)


def _bulleted(lines: Iterable[str], *, markdown: bool) -> str:
    return "\n".join(f"- {plain_text.escaped(line)}" for line in lines) if markdown else "\n".join(lines)


def answer(comparison: Comparison) -> str:
    """Return who beats whom, on how many datasets, by how much, and how certain that is, in one sentence."""
    if len(comparison.columns) == 2:
        return _answer_of_two(comparison)
    best = int(np.argmin(comparison.mean_ranks))
    by_outcome: dict[str, list[str]] = {"it beats": [], "it loses to": [], "no difference is shown from": []}
    for pair in comparison.pairs:
        if best not in (pair.first, pair.second):
            continue
        sign = 1 if pair.first == best else -1
        other = comparison.columns[pair.second if sign == 1 else pair.first].name
        facts = f"{render.signed(sign * pair.difference)} on {count(pair.test.n)}, p {_p(pair.p_holm)}"
        outcome = "no difference is shown from"
        if pair.p_holm < comparison.alpha:
            outcome = "it beats" if sign * (pair.test.positive - pair.test.negative) > 0 else "it loses to"
        by_outcome[outcome].append(f"{other} ({facts})")
    outcomes = [f"{outcome} {plain_text.listed(others, 4)}" for outcome, others in by_outcome.items() if others]
    return (
        f"{comparison.columns[best].name} ranks first of {len(comparison.columns)} on {count(len(comparison.places))} "
        f"that all share (mean rank {comparison.mean_ranks[best]:.2f}): {'; '.join(outcomes)}."
    )


def _answer_of_two(comparison: Comparison) -> str:
    (pair,) = comparison.pairs
    first, second = (comparison.columns[i].name for i in (pair.first, pair.second))
    if pair.ties == pair.test.n:
        every = "the 1 dataset" if pair.test.n == 1 else f"all {pair.test.n} datasets"
        return f"{first} and {second} are equal on {every} that both share."
    if pair.p_holm >= comparison.alpha:
        shown = f"No difference between {first} and {second} is shown on {count(pair.test.n)}"
        return f"{shown}: {_facts(pair, first, second)}."
    if pair.test.positive > pair.test.negative:
        return f"{first} beats {second} on {count(pair.test.n)}: {_facts(pair, first, second)}."
    return f"{second} beats {first} on {count(pair.test.n)}: {_facts(pair.reversed(), second, first)}."


def _facts(pair: Pair, first: str, second: str) -> str:
    """Return by how much two columns differ and how certain that is."""
    interval = f" ({LEVEL:.0%} interval {render.interval(pair.low, pair.high)})" if pair.test.n > 1 else ""
    return (
        f"{first} better on {pair.wins}, equal on {pair.ties}, {second} better on {pair.losses}, "
        f"{render.signed(pair.difference)} on average{interval}, p {_p(pair.test.p)}"
    )


def _p(value: float) -> str:
    text = render.p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _common_line(comparison: Comparison) -> str:
    """Return on how many datasets and which splits the columns are compared."""
    counts: dict[str, int] = {}
    for place in comparison.places:
        counts[place.split] = counts.get(place.split, 0) + 1
    where = ", ".join(f"{n} on {split}" for split, n in counts.items()) if len(counts) > 1 else next(iter(counts))
    line = f"{count(len(comparison.places))} in common ({where})"
    least, most = (f(pair.test.n for pair in comparison.pairs) for f in (min, max))
    if most == len(comparison.places):
        return f"{line}."
    each = f"{most}" if least == most else f"{least} to {most}"
    return f"{line}, which ranks and sets use; each pair uses all datasets that it shares, {each}."


def _dataset_lines(comparison: Comparison, *, markdown: bool) -> str:
    """Return the datasets that are compared, what was left out, and what was assumed when files were read."""
    lines = [_common_line(comparison)]
    lines += [
        remark if remark.endswith("?") else f"{remark}."
        for remark in dict.fromkeys(r for column in comparison.columns for r in column.remarks)
    ]
    left_out = "Left out" if len(comparison.columns) == 2 else "Left out of ranks and sets"
    for reason, datasets in comparison.left_out.items():
        lines.append(f"{left_out}: {len(datasets)} {reason}: {plain_text.listed(datasets)}.")
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
    ranking = "Mean rank: 1 is best, equal accuracies get their "
    ranking += "average rank" if comparison.tie_method == "average" else "best rank (ties=min)"
    notes: dict[str, list[str]] = {}
    for i in order:
        if comparison.columns[i].note:
            notes.setdefault(comparison.columns[i].note, []).append(comparison.columns[i].name)
    lines = [f"{ranking}. Wins: ties at the top count for each."]
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
    sets = "; ".join("{" + ", ".join(group) + "}" for group in groups) or "none, every two differ"
    lines.append(f"Sets of which no two differ (signed ranks, Holm, {comparison.alpha:g}): {sets}.")
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
    legend = [
        f"p: Wilcoxon signed ranks, two-sided ({methods}, zero_method={test.zeros}).",
        (
            "better/equivalent/worse: probabilities by Bayesian signed ranks, "
            f"region of equivalence ±{shown[0].bayes.rope:g}."
        ),
    ]
    if not few:
        legend.append(f"Of {len(comparison.pairs)} pairs those with the best-ranked column; --json has all.")
    return grid + "\n\n" + _bulleted(legend, markdown=markdown)


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
    content: dict[str, Any] = {
        "columns": [
            {
                "name": column.name,
                "origin": column.origin,
                "marks": column.marks,
                "description": column.description,
                "note": column.note,
                "remarks": column.remarks,
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
    content["answer"] = answer(comparison)
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


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
    for place, scores, best in zip(comparison.places, comparison.scores, comparison.best, strict=True):
        cells = [f"\\textbf{{{v:.4f}}}" if is_best else f"{v:.4f}" for v, is_best in zip(scores, best, strict=True)]
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
    summary = _pair_lines(comparison) if len(comparison.columns) == 2 else _joint_lines(comparison)
    lines += [_latex(line).replace("±", r"$\pm$") for line in summary]
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

"""The results as one page to read: tables, tests, charts and their data, in one HTML file that loads nothing.

    tsfcn report [RESULTS] [COLUMN ...] [--out FILE]

Every number comes from the records, and from tsfcn.analysis, which the other commands print.
COLUMN adds tables of others and papers to ranks, pairs and scatter, in the words of `tsfcn compare`; without one the
paper's column that stands beside each of ours is taken along. The same records give the same bytes: the page holds no
time of its making and no path. docs/report.md says how to read it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.analysis import compare, score_columns, stats, tables, verdict
from tsfcn.analysis.columns import Cell, Column, Place
from tsfcn.analysis.marks import CHANGED, MEANINGS, TEST_SELECTED
from tsfcn.common.errors import UserError
from tsfcn.common.text import duration, listed
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.report import render
from tsfcn.report import svg as figures
from tsfcn.report.collect import ALPHA, Material, Name, Row, Trained, called, count, gather, needed
from tsfcn.report.html import FIRST_LINE, Cells, Chart, Section, csv_text, document
from tsfcn.report.render import PROCESSOR_TIME, fraction, p_value, signed

Content = dict[str, Any]  # what a template shows, under the names that it has there

_RULES = {  # of selection; each beside the weights with the least training loss
    "accuracy_last": "last weights",
    "accuracy_selected": "held-out cases",
    "accuracy_test_oracle": f"oracle ({TEST_SELECTED})",
}


def _between(low: float, high: float, *, sign: bool = False) -> str:
    if math.isnan(low):
        return ""
    return f"{signed(low)} to {signed(high)}" if sign else f"{fraction(low)} to {fraction(high)}"


# ---------------------------------------------------------------------------------------------------------------------
# Sections: each returns the content of its template, None where there is nothing to show


def _headline(material: Material) -> Content | None:
    if not material.rows:
        return {"rows": []}
    lines: list[dict[str, Any]] = []
    results = []
    seen = set()
    for row in sorted(
        material.summary, key=lambda r: (r["split"] != "official", r["split"], r["model"], r["protocol"])
    ):
        name = (row["model"], row["protocol"], row["split"])
        accuracies = np.array([r["mean"] for r in material.of(name)])
        low, high = stats.bootstrap(accuracies)
        line = {**row, "interval": _between(low, high), "judged": None}
        pair = name[:2]
        judged = material.judged.get(pair) if pair not in seen else None
        seen.add(pair)
        text = (
            f"{called(name)}: mean accuracy {fraction(row['mean_accuracy'])} on {count(row['n_datasets'], 'dataset')}"
        )
        text += f", 95 % interval over datasets {_between(low, high)}" if not math.isnan(low) else ""
        if judged is not None:
            theirs = [r for r in material.rows if (r["model"], r["protocol"]) == pair and r["published_source"]]
            apart = np.array([r["difference"] for r in theirs])
            line["judged"] = judged
            line["theirs"] = float(np.mean([r["published"] for r in theirs]))
            line["apart"] = float(apart.mean())
            line["apart_interval"] = _between(*stats.bootstrap(apart), sign=True)
            text += (
                f". Published: {fraction(line['theirs'])} on {len(theirs)} of them, ours minus theirs "
                f"{signed(line['apart'])}. Verdict on the mean: {judged.archive.text}"
            )
        if TEST_SELECTED in row["marks"]:
            text += f". {TEST_SELECTED}: {MEANINGS[TEST_SELECTED]}"
        results.append(f"{text}.")
        lines.append(line)
    alike = all(line["n_common"] == line["n_datasets"] for line in lines)
    judgements: list[verdict.Judgement | None] = [line["judged"] for line in lines]

    def counted(judged: verdict.Judgement | None) -> str:
        return "" if judged is None else ", ".join(f"{n} {word}" for word, n in judged.counts.items())

    cells = [
        Cells(
            "model",
            [line["model"] for line in lines],
            second_title="protocol",
            second_texts=[line["protocol"] for line in lines],
        ),
        Cells("split", ["" if {x["split"] for x in lines} == {"official"} else line["split"] for line in lines]),
        Cells(
            "datasets",
            [str(line["n_datasets"]) for line in lines],
            True,
            second_title="jobs",
            second_texts=[count(line["n_jobs"], "job") for line in lines],
        ),
        Cells(
            "mean accuracy",
            [fraction(line["mean_accuracy"]) for line in lines],
            True,
            second_title="95 % over datasets",
            second_texts=[line["interval"] for line in lines],
        ),
        Cells(
            "published",
            [fraction(line.get("theirs", math.nan)) for line in lines],
            True,
            second_title="on",
            second_texts=["" if j is None else count(len(j.verdicts), "dataset") for j in judgements],
        ),
        Cells(
            "difference",
            [signed(line.get("apart", math.nan)) for line in lines],
            True,
            second_title="95 % over datasets",
            second_texts=[line.get("apart_interval", "") for line in lines],
        ),
        Cells(
            "verdict",
            ["" if j is None else j.archive.text for j in judgements],
            second_title="90 % over seeds",
            second_texts=["" if j is None else _between(j.archive.low, j.archive.high, sign=True) for j in judgements],
        ),
        Cells("datasets by verdict", [counted(j) for j in judgements]),
        Cells(
            "on common",
            ["" if alike else fraction(line["mean_accuracy_common"]) for line in lines],
            True,
            second_title="on",
            second_texts=[
                "" if alike or not line["n_common"] else count(line["n_common"], "dataset") for line in lines
            ],
        ),
        Cells(
            "mean rank",
            [fraction(line["mean_rank"]) for line in lines],
            True,
            second_title="wins",
            second_texts=["" if _missing(line["wins"]) else count(int(line["wins"]), "win") for line in lines],
        ),
        Cells("MPCE", [fraction(line["mpce"]) for line in lines], True),
        Cells(
            "time",
            [duration(line["total_seconds"]) for line in lines],
            True,
            values=[line["total_seconds"] for line in lines],
        ),
        Cells("marks", [line["marks"] for line in lines]),
    ]
    return {
        "results": results,
        "rows": cells,
        "has_ranks": any(not math.isnan(line["mean_rank"]) for line in lines),
        "resampled": count(material.n_resampled, "row") if material.n_resampled else "",
    }


def _missing(value: object) -> bool:
    return value is None or value != value or str(value) == "<NA>"


def _datasets(material: Material) -> Content | None:
    if not material.rows:
        return None
    rows, verdicts = material.rows, material.verdicts()
    judged = [verdicts.get((r["model"], r["protocol"], r["dataset"])) if r["published_source"] else None for r in rows]

    def runs(row: Row) -> str:
        if not row["published_source"]:
            return ""
        many = int(row["published_runs"]) > 1
        std = row["published_std"]
        return f"± {std:.4f}" if many and not math.isnan(std) else "several runs" if many else "single run"

    cells = [
        Cells("dataset", [r["dataset"] for r in rows]),
        Cells(
            "model",
            [r["model"] for r in rows],
            second_title="protocol",
            second_texts=[r["protocol"] for r in rows],
            choice=True,
        ),
        Cells("split", ["" if {x["split"] for x in rows} == {"official"} else r["split"] for r in rows]),
        Cells(
            "accuracy",
            [fraction(r["mean"]) for r in rows],
            True,
            second_title="over seeds",
            second_texts=["" if math.isnan(r["std"]) else f"± {r['std']:.4f}" for r in rows],
        ),
        Cells("seeds", [str(r["n_seeds"]) for r in rows], True),
        Cells(
            "published",
            [fraction(r["published"]) + (" *" if r["published_note"] else "") for r in rows],
            True,
            second_title="over runs",
            second_texts=[runs(r) for r in rows],
        ),
        Cells(
            "difference",
            [signed(r["difference"]) for r in rows],
            True,
            second_title="90 % over seeds",
            second_texts=["" if v is None else _between(v.low, v.high, sign=True) for v in judged],
        ),
        Cells(
            "verdict",
            ["" if v is None else v.word for v in judged],
            second_title="what is missing",
            second_texts=["" if v is None else v.text.removeprefix(v.word).lstrip(",: ") for v in judged],
            choice=True,
        ),
        Cells("last weights", [fraction(r["last"]) for r in rows], True),
        Cells("held-out", [fraction(r["selected"]) for r in rows], True),
        Cells(
            "training",
            [duration(r["train_seconds"]) for r in rows],
            True,
            values=[r["train_seconds"] for r in rows],
        ),
        Cells("marks", [r["marks"] for r in rows]),
    ]
    noted: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["published_note"] and row["dataset"] not in noted[row["published_note"]]:
            noted[row["published_note"]].append(row["dataset"])
    sources = published.sources()
    used = sorted({(r["published_source"], int(r["published_runs"])) for r in rows if r["published_source"]})
    notes = [
        f"published: {source}, {'a single run' if n == 1 else f'mean of {n} runs'} on the same split "
        f"({sources[source].paper}). Difference: ours minus theirs."
        for source, n in used
    ]
    notes += [f"*: published figure of {listed(noted[note])} ({note})." for note in sorted(noted)]
    notes += [f"{mark}: {text}." for mark, text in MEANINGS.items() if any(mark in row["marks"] for row in rows)]
    if any("[" in row["model"] + row["protocol"] for row in rows):
        notes.append(f"[...]: {CHANGED}.")
    if any(record.has_processor_seconds() for record in material.done):
        notes.append(f"training: {PROCESSOR_TIME}.")
    if material.judged:
        notes.append(
            "Verdicts: equivalent (the means differ by less than 0.02 or one test case, and the runs suffice to say "
            "so), different, undecided (so many more seeds would decide), undecidable (the published runs are too "
            "few); beside a single published run inside or outside of what our seeds predict."
        )
    return {"rows": cells, "notes": notes}


def _ranks(material: Material) -> Content | None:
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in material.choice.left_out:
        reasons[why].append(name)
    left_out = [f"Left out: {listed(names)} ({why})." for why, names in reasons.items()]
    comparison = material.comparison
    if comparison is None:
        return {"chart": None, "has_columns": bool(material.columns), "left_out": left_out}
    names = [column.name for column in comparison.columns]
    order = sorted(range(len(names)), key=lambda i: (comparison.mean_ranks[i], i))
    sets = [[names[i] for i in order if i in clique] for clique in comparison.cliques]
    sets.sort(key=lambda members: [order.index(names.index(name)) for name in members])
    together = "; ".join("{" + ", ".join(members) + "}" for members in sets) or "none, every two differ"
    ranked = ", ".join(f"{names[i]} {comparison.mean_ranks[i]:.3f}" for i in order)
    differ = f"Sets of which no two differ, best first: {together}."
    description = f"Mean ranks over {count(len(comparison.places), 'dataset')}, best first: {ranked}. {differ}"
    ranks, sets_at = comparison.mean_ranks.tolist(), comparison.cliques
    svg = figures.critical_difference("c-ranks", names, ranks, sets_at, said=description)
    narrow_svg = figures.rank_rows("c-ranks-narrow", names, ranks, sets_at, said=description)
    data = csv_text(
        ["column", "mean_rank", "mean_accuracy", "wins", "sets"],
        [
            (
                names[i],
                float(comparison.mean_ranks[i]),
                float(comparison.scores[:, i].mean()),
                int(comparison.wins[i]),
                " ".join(str(n + 1) for n, members in enumerate(sets) if names[i] in members),
            )
            for i in order
        ],
    )
    return {
        "basis": _basis(comparison),
        "left_out": left_out,
        "chart": Chart(svg, data, narrow_svg),
        "sets": differ,
    }


def _basis(comparison: compare.Comparison) -> list[str]:
    """Return what the comparison rests on: datasets, tests, what to read with care."""
    splits = Counter(place.split for place in comparison.places)
    where = (
        ", ".join(f"{n} on {split}" for split, n in sorted(splits.items())) if len(splits) > 1 else next(iter(splits))
    )
    lines = [f"{count(len(comparison.places), 'dataset')} that all have on the same split ({where})."]
    most = max(pair.test.n for pair in comparison.pairs)
    if most > len(comparison.places):
        lines.append(f"Ranks and sets use these; each pair uses all datasets that it shares, at most {most}.")
    if comparison.friedman is not None:
        lines.append(
            f"Friedman: chi2 = {comparison.friedman.chi2:.3f}, {comparison.friedman.df} degrees of freedom, "
            f"p = {p_value(comparison.friedman.p)}."
        )
    lines.append(
        f"Two differ if the signed-rank test (two-sided, zeros by Pratt) is below {comparison.alpha:g} after Holm's "
        "correction over all pairs."
    )
    enough = needed(len(comparison.columns), comparison.alpha)
    if len(comparison.places) < enough:
        lines.append(
            f"{count(len(comparison.places), 'dataset')} cannot show a difference between "
            f"{len(comparison.columns)} columns: {enough} are needed. That no two differ says nothing here."
        )
    noted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for i, column in enumerate(comparison.columns):
        of: dict[str, list[str]] = defaultdict(list)
        for place, cells in zip(comparison.places, comparison.cells, strict=True):
            if cells[i].note:
                of[cells[i].note].append(place.dataset)
        for note, datasets in of.items():
            noted[note, listed(datasets)].append(column.name)
        lines += [f"{column.name}: {column.note}."] if column.note else []
    lines += [f"To be read with care: {listed(names)} on {d} ({note})." for (note, d), names in sorted(noted.items())]
    return lines


def _pairs(material: Material) -> Content | None:
    comparison = material.comparison
    if comparison is None:
        return None
    order = sorted(range(len(comparison.columns)), key=lambda i: (comparison.mean_ranks[i], i))
    at = {i: n for n, i in enumerate(order)}
    names = [comparison.columns[i].name for i in order]
    entries, data, different = {}, [], []
    for pair in comparison.pairs:
        strong = pair.p_holm < comparison.alpha
        for i, j, sign, won, lost in (
            (pair.first, pair.second, 1, pair.wins, pair.losses),
            (pair.second, pair.first, -1, pair.losses, pair.wins),
        ):
            lines = (
                f"{signed(sign * pair.difference)}{' *' if strong else ''}",
                f"{won} / {pair.ties} / {lost}",
                f"p {p_value(pair.p_holm)}",
            )
            entries[at[i], at[j]] = figures.Entry(sign * pair.difference, lines, strong)
        first, second = comparison.columns[pair.first].name, comparison.columns[pair.second].name
        if strong:
            better, worse = (first, second) if pair.test.positive > pair.test.negative else (second, first)
            different.append(f"{better} over {worse} (p = {p_value(pair.p_holm)})")
        bayes = pair.bayes
        data.append(
            (
                *(first, second, pair.difference, pair.low, pair.high, pair.wins, pair.ties, pair.losses),
                *(pair.test.p, pair.p_holm, bayes.first, bayes.equivalent, bayes.second),
            )
        )
    summary = f"Pairs that differ: {len(different)} of {len(comparison.pairs)}" + (
        f", {listed(different, 6)}." if different else "."
    )
    header = ["first", "second", "difference", "low_95", "high_95", "better", "equal", "worse", "p", "p_holm"]
    header += ["chance_first_better", "chance_equivalent", "chance_second_better"]
    svg = figures.matrix("c-pairs", names, entries, said=summary)
    far = compare.farthest(comparison)
    cells = [
        Cells("dataset", [row["dataset"] for row in far]),
        Cells(
            "best",
            [row["first"] for row in far],
            second_title="accuracy",
            second_texts=[fraction(r["accuracy_first"]) for r in far],
        ),
        Cells(
            "worst",
            [row["second"] for row in far],
            second_title="accuracy",
            second_texts=[fraction(r["accuracy_second"]) for r in far],
        ),
        Cells("difference", [signed(row["difference"]) for row in far], True),
        Cells("seed noise", [row["noise"] for row in far]),
    ]
    if len(comparison.columns) == 2:
        cells[1] = replace(cells[1], title="first")
        cells[2] = replace(cells[2], title="second")
    return {
        "summary": summary,
        "chart": Chart(svg, csv_text(header, data)),
        "farthest": cells if far else [],
    }


def _scatter(material: Material) -> Content | None:
    """Return the scatter of one of ours beside the same model in a paper, or beside what else has most in common."""
    columns = material.columns
    options = []
    for i in range(len(columns)):
        for j in range(i + 1, len(columns)):
            n = len(set(columns[i].cells) & set(columns[j].cells))
            paper = (
                i < material.n_ours <= j and columns[j].name.rpartition("/")[2] == columns[i].name.partition(" (")[0]
            )
            options.append((n > 0, paper, i < material.n_ours <= j, n, -i, -j))
    if not options or not max(options)[0]:
        return {"chart": None}
    y, x = (-i for i in max(options)[-2:])
    places = _shared(columns[x], columns[y])
    points = [
        figures.Point(
            _placed(p),
            *(round(columns[i].cells[p].accuracy, 6) for i in (x, y)),
            *(None if (std := columns[i].cells[p].std) is None else round(std, 6) for i in (x, y)),
        )
        for p in places
    ]
    summary = _side_by_side(columns[x], columns[y])
    title = f"{_marked(columns[y])} against {_marked(columns[x])}"
    svg = figures.scatter(
        "c-scatter", points, _marked(columns[x]), _marked(columns[y]), low=_least(columns), title=title, said=summary
    )
    data = csv_text(
        ["dataset", "split", "x", "y", "x_std", "y_std"],
        [(p.dataset, p.split, q.x, q.y, q.x_std, q.y_std) for p, q in zip(places, points, strict=True)],
    )
    return {"x": x, "y": y, "summary": summary, "chart": Chart(svg, data)}


def _least(columns: Sequence[Column]) -> float:
    """Return the lower end of the scatter's axes, below all that can be drawn: no choice of columns moves them."""
    times = Counter(place for column in columns for place in column.cells)
    least = min(cell.accuracy for column in columns for place, cell in column.cells.items() if times[place] > 1)
    return max(0.0, math.floor(least * 10 - 1e-9) / 10)


def _marked(column: Column) -> str:
    return column.name + (f" {TEST_SELECTED}" if TEST_SELECTED in column.marks else "")


def _placed(place: Place) -> str:
    return place.dataset if place.split == "ucr2018" else f"{place.dataset} ({place.split})"


def _shared(x: Column, y: Column) -> list[Place]:
    return sorted(set(x.cells) & set(y.cells))


def _side_by_side(x: Column, y: Column) -> str:
    """Say on how many common datasets the second column is better; the sentence above the scatter."""
    places = _shared(x, y)
    if not places:
        return f"{_marked(y)} and {_marked(x)} have no dataset on the same split in common."
    ours, theirs = (np.array([column.cells[p].accuracy for p in places]) for column in (y, x))
    won, equal, lost = stats.wins(ours, theirs)
    return (
        f"{_marked(y)} is better than {_marked(x)} on {won}, equal on {equal}, worse on {lost} of "
        f"{count(len(places), 'dataset')}; mean accuracy {fraction(ours.mean())} beside {fraction(theirs.mean())}."
    )


def _time(material: Material) -> Content | None:
    if not material.rows:
        return None
    names = material.names
    per_job = {
        name: {r["dataset"]: (r["train_seconds"] / r["n_seeds"], r["mean"]) for r in material.of(name)}
        for name in names
    }
    common = sorted(set.intersection(*(set(of) for of in per_job.values())))
    clouds, means = [], []
    for name, of in per_job.items():
        points = [
            (seconds, mean, f"{name[0]} on {dataset}: {mean:.4f}, {seconds:.1f} s")
            for dataset, (seconds, mean) in of.items()
        ]
        centre = None
        if common:
            centre = tuple(float(np.mean([of[d][i] for d in common])) for i in (0, 1))
            means.append(f"{called(name)}: {duration(centre[0])} a job, mean accuracy {centre[1]:.4f}")
        clouds.append(figures.Cloud(called(name), points, (centre[0], centre[1]) if centre else None))
    summary = (
        f"Means over the {count(len(common), 'dataset')} that all have: {'; '.join(means)}."
        if common
        else "No dataset is common to all, so that there are no means to compare."
    )
    machines = sorted({r.hardware or "not recorded" for r in material.done})
    on_machines = f"on {'; '.join(machines[:6])}"
    if any(record.has_processor_seconds() for record in material.done):
        devices = f"Seconds, {on_machines}, are {PROCESSOR_TIME}."
    else:
        devices = f"Seconds are wall clock {on_machines}. A job may have shared its processor with others."
    data = csv_text(
        ["dataset", "model", "protocol", "split", "seconds_a_job", "accuracy"],
        [
            (r["dataset"], r["model"], r["protocol"], r["split"], r["train_seconds"] / r["n_seeds"], float(r["mean"]))
            for r in material.rows
        ],
    )
    svg = figures.against_seconds("c-time", clouds, title="Accuracy against seconds of training", said=summary)
    return {"summary": summary, "devices": devices, "chart": Chart(svg, data)}


def _seeds(material: Material) -> Content | None:
    seeds: dict[Name, dict[str, list[Record]]] = {name: defaultdict(list) for name in material.names}
    for record in material.done:
        dataset, model, protocol, split = tables.row_of(record)
        seeds[model, protocol, split][dataset].append(record)
    charts: list[tuple[str, Chart]] = []
    single_seed = []
    for n, (name, of) in enumerate(seeds.items()):
        rows = {row["dataset"]: row for row in material.of(name)}
        several = sorted((d for d in of if len(of[d]) > 1), key=lambda d: (-round(rows[d]["std"], 10), d))
        if not several:
            single_seed.append(called(name))
            continue
        strips, data = [], []
        for dataset in several:
            row = rows[dataset]
            theirs = None if math.isnan(row["published"]) else row["published"] - row["mean"]
            std = None if math.isnan(row["published_std"]) else row["published_std"]
            strips.append(figures.Strip(dataset, [r.accuracy - row["mean"] for r in of[dataset]], theirs, std))
            data += [(dataset, r.seed, r.accuracy) for r in of[dataset]]
        stds = np.array([rows[d]["std"] for d in several])
        summary = (
            f"{called(name)}: the standard deviation over seeds is {np.median(stds):.4f} at the median of "
            f"{count(len(several), 'dataset')} with several seeds, and {stds.max():.4f} at most ({several[0]})."
        )
        if len(several) < len(of):
            summary += f" {count(len(of) - len(several), 'dataset')} with a single seed: their noise is not known."
        svg = figures.strips(f"c-seeds-{n}", strips, title=f"Seed noise of {called(name)}", said=summary)
        charts.append((summary, Chart(svg, csv_text(["dataset", "seed", "accuracy"], data))))
    return {"charts": charts, "single_seed": single_seed} if material.names else None


def _selection(material: Material) -> Content | None:
    rows, data, tests = [], [], []
    for n, name in enumerate(material.names):
        of: dict[str, list[Record]] = defaultdict(list)
        for record in material.done:
            if tables.row_of(record)[1:] == name:
                of[record.dataset].append(record)
        for rule, words in _RULES.items():
            both = [
                d
                for d, records in sorted(of.items())
                if all(getattr(r, rule) is not None and r.accuracy_least_train_loss is not None for r in records)
            ]
            if not both:
                continue
            least, other = (
                np.array([np.mean([getattr(r, of_rule) for r in of[d]]) for d in both])
                for of_rule in ("accuracy_least_train_loss", rule)
            )
            rows.append((n, name, words, both, least, other))
            tests.append(stats.wilcoxon(other - least))
            data += [(d, *name, words, float(a), float(b)) for d, a, b in zip(both, least, other, strict=True)]
    if not rows:
        return {"chart": None}
    adjusted = stats.holm([test.p for test in tests])
    ranges, different, lines = [], [], []
    for (n, name, words, both, least, other), p in zip(rows, adjusted, strict=True):
        difference = float((other - least).mean())
        low, high = stats.bootstrap(other - least)
        won, equal, lost = stats.wins(other, least)
        ranges.append(figures.Range(f"{called(name)}: {words}", difference, low, high, f"{won} / {equal} / {lost}", n))
        lines.append(
            (name, words, len(both), least.mean(), other.mean(), difference, (low, high), (won, equal, lost), p)
        )
        if p < ALPHA:
            different.append(f"{called(name)}, {words} ({signed(difference)}, p = {p_value(p)})")
    summary = "Beside the weights with the least training loss, "
    summary += (
        f"these differ (signed ranks, Holm): {'; '.join(different)}."
        if different
        else "no other rule is shown to differ (signed ranks, Holm)."
    )
    cells = [
        Cells("model", [line[0][0] for line in lines]),
        Cells("protocol", [line[0][1] for line in lines]),
        Cells("split", ["" if {x[0][2] for x in lines} == {"official"} else line[0][2] for line in lines]),
        Cells("rule", [line[1] for line in lines]),
        Cells("datasets", [str(line[2]) for line in lines], True),
        Cells("mean accuracy", [fraction(line[4]) for line in lines], True),
        Cells("least training loss", [fraction(line[3]) for line in lines], True),
        Cells(
            "difference",
            [signed(line[5]) for line in lines],
            True,
            second_title="95 % over datasets",
            second_texts=[_between(*line[6], sign=True) for line in lines],
        ),
        Cells("better / equal / worse", [" / ".join(map(str, line[7])) for line in lines]),
        Cells("p, Holm", [p_value(line[8]) for line in lines], True),
    ]
    svg = figures.forest(
        "c-selection",
        ranges,
        axis="accuracy minus that of the weights with the least training loss",
        title="Effect of selecting the weights by another rule",
        said=summary,
    )
    header = ["dataset", "model", "protocol", "split", "rule", "least_train_loss", "accuracy"]
    oracle = any(TEST_SELECTED in words for _, _, words, *_ in rows)
    return {
        "summary": summary,
        "oracle": f"The oracle is {TEST_SELECTED}: {MEANINGS[TEST_SELECTED]}." if oracle else "",
        "chart": Chart(svg, csv_text(header, data)),
        "rules": cells,
    }


def _curves(material: Material) -> Content | None:
    trained = material.curves
    if not trained:
        return {"chart": None}
    first = trained[0]
    shown = [t for t in trained if (t.dataset, t.name) == (first.dataset, first.name)]
    lines = [figures.Curve(f"seed {t.seed}", t.epochs, t.losses, t.best) for t in shown]
    title = f"Training loss of {called(first.name)} on {first.dataset}"
    svg = figures.curves(
        "c-curves",
        lines,
        most_epochs=max(t.epochs[-1] for t in trained),
        least=min(min(t.losses) for t in trained),
        most=max(max(t.losses) for t in trained),
        title=title,
        said=_curve_text(shown),
    )
    data = csv_text(
        ["seed", "epoch", "loss"],
        [(t.seed, e, loss) for t in shown for e, loss in zip(t.epochs, t.losses, strict=True)],
    )
    return {"title": title, "chart": Chart(svg, data), "floor": f"{figures.CURVE_FLOOR:g}"}


def _curve_text(shown: Sequence[Trained]) -> str:
    return " ".join(
        f"Seed {t.seed}: from {t.losses[0]:g} to {t.losses[-1]:g} in {count(t.epochs[-1], 'epoch')}"
        + (f", kept from epoch {t.best[0]}." if t.best else ".")
        for t in shown
    )


def _failures(material: Material) -> Content | None:
    rows = material.failures
    if not rows:
        return {"rows": []}
    counts = Counter(row["status"] for row in rows)
    cells = [
        Cells("dataset", [r["dataset"] for r in rows]),
        Cells("status", [r["status"] for r in rows]),
        Cells("model", [r["model"] for r in rows]),
        Cells("protocol", [r["protocol"] for r in rows]),
        Cells("split", ["" if {x["split"] for x in rows} == {"official"} else r["split"] for r in rows]),
        Cells("seed", ["" if _missing(r["seed"]) else str(int(r["seed"])) for r in rows], True),
        Cells("reason", [r["reason"] for r in rows]),
        Cells("key", [r["key"] for r in rows]),
    ]
    return {"rows": cells, "counts": ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))}


def _provenance(material: Material) -> Content | None:
    if not (material.done or material.columns or material.commands):
        return None
    machines, origins = (render.machines(material.done), render.origins(material.done)) if material.done else ([], [])
    columns = [
        Cells("column", [_marked(c) for c in material.columns]),
        Cells("datasets", [str(len(c.cells)) for c in material.columns], True),
        Cells("what it is", [c.description for c in material.columns]),
        Cells("note", [c.note for c in material.columns]),
    ]
    sources = {
        c.origin.removeprefix(score_columns.PUBLISHED)
        for c in material.columns
        if c.origin.startswith(score_columns.PUBLISHED)
    }
    known = published.sources()
    return {
        "machines": [Cells(title, texts, side == ">") for title, side, texts in machines],
        "origins": origins,
        "columns": columns if material.columns else [],
        "sources": [
            f"{name}: {known[name].paper}, {known[name].where}; split {known[name].split}, weights selected by "
            f"{known[name].selected_by}. {known[name].note}"
            for name in sorted(sources)
        ],
        "commands": material.commands,
    }


# ---------------------------------------------------------------------------------------------------------------------
# The page


def _data(material: Material) -> dict[str, Any]:
    """Return what page.js draws from when another pair or another curve is chosen."""
    places = sorted({place for column in material.columns for place in column.cells})
    number = {place: i for i, place in enumerate(places)}

    def cell(value: Cell) -> list[float]:
        return [round(value.accuracy, 6), *([round(value.std, 6)] if value.std else [])]

    curves = material.curves
    grids = list(dict.fromkeys(t.epochs for t in curves))
    at = {epochs: i for i, epochs in enumerate(grids)}
    names, datasets = list(dict.fromkeys(t.name for t in curves)), sorted({t.dataset for t in curves})
    return {
        "places": [[figures.cleaned(place.dataset), figures.cleaned(place.split)] for place in places],
        "columns": [
            {
                "name": figures.cleaned(_marked(column)),
                "cells": {str(number[place]): cell(column.cells[place]) for place in sorted(column.cells)},
            }
            for column in material.columns
        ],
        "said": {
            f"{x},{y}": figures.cleaned(_side_by_side(material.columns[x], material.columns[y]))
            for x in range(len(material.columns))
            for y in range(len(material.columns))
            if x != y
        },
        "datasets": [figures.cleaned(dataset) for dataset in datasets],
        "names": [figures.cleaned(called(name)) for name in names],
        "epochs": grids,
        "curves": [
            [datasets.index(t.dataset), names.index(t.name), t.seed, at[t.epochs], t.losses, t.best] for t in curves
        ],
    }


SECTIONS = (
    ("headline", "Headline", _headline),
    ("datasets", "Datasets", _datasets),
    ("ranks", "Critical differences", _ranks),
    ("pairs", "Pairs", _pairs),
    ("scatter", "Two columns", _scatter),
    ("time", "Accuracy and time", _time),
    ("selection", "Selection", _selection),
    ("seeds", "Seed noise", _seeds),
    ("curves", "Learning curves", _curves),
    ("failures", "Failures", _failures),
    ("provenance", "Provenance", _provenance),
)


def page(material: Material) -> str:
    """Return the page as HTML."""
    counts = Counter(row["status"] for row in material.failures)
    seconds = math.fsum(record.seconds("train") or 0.0 for record in material.done)
    summary = (
        f"{count(len(material.done), 'job')} ok, {counts['failed']} failed, {counts['skipped']} skipped; "
        f"{count(len({row['dataset'] for row in material.rows}), 'dataset')}; {seconds / 3600:.2f} hours of training."
    )
    contents = [(ident, title, content(material)) for ident, title, content in SECTIONS]
    sections = [Section(ident, title, content) for ident, title, content in contents if content is not None]
    return document(summary, sections, _data(material))


def report(results: Path, words: Sequence[str] = ()) -> str:
    """Return the page of a results folder beside the columns that words name (`score_columns.read`).

    Without words the published columns that stand beside ours are taken. Raises UserError where there are no records,
    where they mix experiments under one name, and for a word that names nothing.
    """
    records = tables.read(results, curves=True)
    ours = score_columns.read([str(results)]) if any(r.is_ok for r in records) else []
    others = score_columns.read(words) if words else None
    commands = store.read_commands(results)
    return page(gather(records, ours, others, [line.strip() for line in commands if line.strip()]))


def check(path: Path) -> None:
    """Raise UserError where `path` is a file that is no report, which writing one would replace."""
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: name a file to write, as {path / 'report.html'}")
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(FIRST_LINE.encode())) != FIRST_LINE.encode():
                raise UserError(f"'{path}' is not a report of tsfcn's and would be replaced: write to another --out")

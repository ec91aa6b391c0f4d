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
from tsfcn.analysis.marks import CHANGED, MEANINGS, TEST_SELECTED
from tsfcn.analysis.score_columns import Column, Place
from tsfcn.common.errors import UserError
from tsfcn.common.text import duration, listed
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.report import render
from tsfcn.report import svg as figures
from tsfcn.report.collect import ALPHA, Material, Name, Record, Row, Trained, called, count, gather, needed
from tsfcn.report.html import FIRST_LINE, Cells, csv_text, document, figure, grid, items, paragraphs
from tsfcn.report.render import PROCESSOR_TIME, fraction, p_value, signed
from tsfcn.report.svg import escaped

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
# Sections: each returns its HTML, '' where there is nothing to say


def _headline(given: Material) -> str:
    if not given.rows:
        return paragraphs("No job is ok yet: nothing to show.")
    lines: list[dict[str, Any]] = []
    said = []
    seen = set()
    for row in sorted(given.summary, key=lambda r: (r["split"] != "official", r["split"], r["model"], r["protocol"])):
        name = (row["model"], row["protocol"], row["split"])
        accuracies = np.array([r["mean"] for r in given.of(name)])
        low, high = stats.bootstrap(accuracies)
        line = {**row, "interval": _between(low, high), "judged": None}
        pair = name[:2]
        judged = given.judged.get(pair) if pair not in seen else None
        seen.add(pair)
        text = (
            f"{called(name)}: mean accuracy {fraction(row['mean_accuracy'])} on {count(row['n_datasets'], 'dataset')}"
        )
        text += f", 95 % interval over datasets {_between(low, high)}" if not math.isnan(low) else ""
        if judged is not None:
            theirs = [r for r in given.rows if (r["model"], r["protocol"]) == pair and r["published_source"]]
            apart = np.array([r["difference"] for r in theirs])
            line["judged"] = judged
            line["theirs"] = float(np.mean([r["published"] for r in theirs]))
            line["apart"] = float(apart.mean())
            line["apart_interval"] = _between(*stats.bootstrap(apart), sign=True)
            text += (
                f". Published: {fraction(line['theirs'])} on {len(theirs)} of them, ours minus theirs "
                f"{signed(line['apart'])}. Verdict on the mean: {judged.archive.said}"
            )
        if TEST_SELECTED in row["marks"]:
            text += f". {TEST_SELECTED}: {MEANINGS[TEST_SELECTED]}"
        said.append(f"{text}.")
        lines.append(line)
    alike = all(line["n_common"] == line["n_datasets"] for line in lines)
    judgements: list[verdict.Judgement | None] = [line["judged"] for line in lines]

    def counted(judged: verdict.Judgement | None) -> str:
        return "" if judged is None else ", ".join(f"{n} {word}" for word, n in judged.counts.items())

    cells = [
        Cells(
            "model",
            [line["model"] for line in lines],
            second="protocol",
            seconds=[line["protocol"] for line in lines],
        ),
        Cells("split", ["" if {x["split"] for x in lines} == {"official"} else line["split"] for line in lines]),
        Cells(
            "datasets",
            [str(line["n_datasets"]) for line in lines],
            True,
            second="jobs",
            seconds=[count(line["n_jobs"], "job") for line in lines],
        ),
        Cells(
            "mean accuracy",
            [fraction(line["mean_accuracy"]) for line in lines],
            True,
            second="95 % over datasets",
            seconds=[line["interval"] for line in lines],
        ),
        Cells(
            "published",
            [fraction(line.get("theirs", math.nan)) for line in lines],
            True,
            second="on",
            seconds=["" if j is None else count(len(j.verdicts), "dataset") for j in judgements],
        ),
        Cells(
            "difference",
            [signed(line.get("apart", math.nan)) for line in lines],
            True,
            second="95 % over datasets",
            seconds=[line.get("apart_interval", "") for line in lines],
        ),
        Cells(
            "verdict",
            ["" if j is None else j.archive.said for j in judgements],
            second="90 % over seeds",
            seconds=["" if j is None else _between(j.archive.low, j.archive.high, sign=True) for j in judgements],
        ),
        Cells("datasets by verdict", [counted(j) for j in judgements]),
        Cells(
            "on common",
            ["" if alike else fraction(line["mean_accuracy_common"]) for line in lines],
            True,
            second="on",
            seconds=["" if alike or not line["n_common"] else count(line["n_common"], "dataset") for line in lines],
        ),
        Cells(
            "mean rank",
            [fraction(line["mean_rank"]) for line in lines],
            True,
            second="wins",
            seconds=["" if _missing(line["wins"]) else count(int(line["wins"]), "win") for line in lines],
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
    words = paragraphs(
        "Mean accuracy and MPCE (mean over datasets of error / classes) are over each row's own datasets: compare two "
        "rows by them only where the datasets are the same. The 95 % intervals (bootstrap) say how a mean would move "
        "over other datasets like these; the 90 % interval of a verdict how it would move over other seeds."
    )
    if any(not math.isnan(line["mean_rank"]) for line in lines):
        words += paragraphs(
            "Ranks and wins are among these rows, over the datasets that all have. Time is training and testing."
        )
    if given.n_resampled:
        words += paragraphs(
            f"{count(given.n_resampled, 'row')} of resampled splits are not listed here; their means over resamples "
            "are among the columns below."
        )
    return items(said) + "\n" + grid("t-headline", "Models and protocols", cells) + "\n" + words


def _missing(value: object) -> bool:
    return value is None or value != value or str(value) == "<NA>"


def _datasets(given: Material) -> str:
    if not given.rows:
        return ""
    rows, verdicts = given.rows, given.verdicts()
    found = [verdicts.get((r["model"], r["protocol"], r["dataset"])) if r["published_source"] else None for r in rows]

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
            second="protocol",
            seconds=[r["protocol"] for r in rows],
            choice=True,
        ),
        Cells("split", ["" if {x["split"] for x in rows} == {"official"} else r["split"] for r in rows]),
        Cells(
            "accuracy",
            [fraction(r["mean"]) for r in rows],
            True,
            second="over seeds",
            seconds=["" if math.isnan(r["std"]) else f"± {r['std']:.4f}" for r in rows],
        ),
        Cells("seeds", [str(r["n_seeds"]) for r in rows], True),
        Cells(
            "published",
            [fraction(r["published"]) + (" *" if r["published_note"] else "") for r in rows],
            True,
            second="over runs",
            seconds=[runs(r) for r in rows],
        ),
        Cells(
            "difference",
            [signed(r["difference"]) for r in rows],
            True,
            second="90 % over seeds",
            seconds=["" if v is None else _between(v.low, v.high, sign=True) for v in found],
        ),
        Cells(
            "verdict",
            ["" if v is None else v.word for v in found],
            second="what is missing",
            seconds=["" if v is None else v.said.removeprefix(v.word).lstrip(",: ") for v in found],
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
    words = [
        f"published: {source}, {'a single run' if n == 1 else f'mean of {n} runs'} on the same split "
        f"({sources[source].paper}). Difference: ours minus theirs."
        for source, n in used
    ]
    words += [f"*: published figure of {listed(noted[note])} ({note})." for note in sorted(noted)]
    words += [f"{mark}: {text}." for mark, text in MEANINGS.items() if any(mark in row["marks"] for row in rows)]
    if any("[" in row["model"] + row["protocol"] for row in rows):
        words.append(f"[...]: {CHANGED}.")
    if any(map(store.has_processor_seconds, given.done)):
        words.append(f"training: {PROCESSOR_TIME}.")
    if given.judged:
        words.append(
            "Verdicts: equivalent (the means differ by less than 0.02 or one test case, and the runs suffice to say "
            "so), different, undecided (so many more seeds would decide), undecidable (the published runs are too "
            "few); beside a single published run inside or outside of what our seeds predict."
        )
    return grid("t-datasets", "Datasets, published figures and verdicts", cells, filtered=True) + items(words)


def _ranks(given: Material) -> str:
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in given.choice.left_out:
        reasons[why].append(name)
    left = [f"Left out: {listed(names)} ({why})." for why, names in reasons.items()]
    made = given.made
    if made is None:
        only = "No column has results" if not given.columns else "There is a single column to rank"
        return paragraphs(f"{only}: two are needed. Name others to compare with: tsfcn report RESULTS COLUMN ...") + (
            items(left) if left else ""
        )
    names = [column.name for column in made.columns]
    order = sorted(range(len(names)), key=lambda i: (made.mean_ranks[i], i))
    sets = [[names[i] for i in order if i in clique] for clique in made.cliques]
    sets.sort(key=lambda members: [order.index(names.index(name)) for name in members])
    together = "; ".join("{" + ", ".join(members) + "}" for members in sets) or "none, every two differ"
    ranked = ", ".join(f"{names[i]} {made.mean_ranks[i]:.3f}" for i in order)
    differ = f"Sets of which no two differ, best first: {together}."
    said = f"Mean ranks over {count(len(made.places), 'dataset')}, best first: {ranked}. {differ}"
    ranks, sets_at = made.mean_ranks.tolist(), made.cliques
    svg = f'<div class="broad">{figures.critical_difference("c-ranks", names, ranks, sets_at, said=said)}</div>\n'
    svg += f'<div class="narrow">{figures.rank_rows("c-ranks-narrow", names, ranks, sets_at, said=said)}</div>'
    data = csv_text(
        ["column", "mean_rank", "mean_accuracy", "wins", "sets"],
        [
            (
                names[i],
                float(made.mean_ranks[i]),
                float(made.scores[:, i].mean()),
                int(made.wins[i]),
                " ".join(str(n + 1) for n, members in enumerate(sets) if names[i] in members),
            )
            for i in order
        ],
    )
    caption = (
        "Each method stands at its mean rank; a bar joins methods no two of which differ, its dots are its members, "
        "and it is broken at a method that it skips."
    )
    return "\n".join(
        [
            items([*_compared(made), *left]),
            figure(svg, caption, data, kind="wide"),
            paragraphs(differ),
        ]
    )


def _compared(made: compare.Comparison) -> list[str]:
    """Return what the comparison rests on: datasets, tests, what to read with care."""
    splits = Counter(place.split for place in made.places)
    where = (
        ", ".join(f"{n} on {split}" for split, n in sorted(splits.items())) if len(splits) > 1 else next(iter(splits))
    )
    lines = [f"{count(len(made.places), 'dataset')} that all have on the same split ({where})."]
    if made.friedman is not None:
        lines.append(
            f"Friedman: chi2 = {made.friedman.chi2:.3f}, {made.friedman.df} degrees of freedom, "
            f"p = {p_value(made.friedman.p)}."
        )
    lines.append(
        f"Two differ if the signed-rank test (two-sided, zeros by Pratt) is below {made.alpha:g} after Holm's "
        "correction over all pairs."
    )
    enough = needed(len(made.columns), made.alpha)
    if len(made.places) < enough:
        lines.append(
            f"{count(len(made.places), 'dataset')} cannot show a difference between {len(made.columns)} columns: "
            f"{enough} are needed. That no two differ says nothing here."
        )
    noted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for i, column in enumerate(made.columns):
        of: dict[str, list[str]] = defaultdict(list)
        for place, cells in zip(made.places, made.cells, strict=True):
            if cells[i].note:
                of[cells[i].note].append(place.dataset)
        for note, datasets in of.items():
            noted[note, listed(datasets)].append(column.name)
        lines += [f"{column.name}: {column.note}."] if column.note else []
    lines += [f"To be read with care: {listed(names)} on {d} ({note})." for (note, d), names in sorted(noted.items())]
    return lines


def _pairs(given: Material) -> str:
    made = given.made
    if made is None:
        return ""
    order = sorted(range(len(made.columns)), key=lambda i: (made.mean_ranks[i], i))
    at = {i: n for n, i in enumerate(order)}
    names = [made.columns[i].name for i in order]
    entries, data, found = {}, [], []
    for pair in made.pairs:
        strong = pair.p_holm < made.alpha
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
        first, second = made.columns[pair.first].name, made.columns[pair.second].name
        if strong:
            better, worse = (first, second) if pair.test.positive > pair.test.negative else (second, first)
            found.append(f"{better} over {worse} (p = {p_value(pair.p_holm)})")
        bayes = pair.bayes
        data.append(
            (
                *(first, second, pair.difference, pair.low, pair.high, pair.wins, pair.ties, pair.losses),
                *(pair.test.p, pair.p_holm, bayes.first, bayes.equivalent, bayes.second),
            )
        )
    said = f"Pairs that differ: {len(found)} of {len(made.pairs)}" + (f", {listed(found, 6)}." if found else ".")
    header = ["first", "second", "difference", "low_95", "high_95", "better", "equal", "worse", "p", "p_holm"]
    header += ["chance_first_better", "chance_equivalent", "chance_second_better"]
    caption = (
        "Row against column: mean difference of accuracies (row minus column), datasets on which the row is better / "
        "equal / worse, and p after Holm. A star and a border: they differ."
    )
    svg = figures.matrix("c-pairs", names, entries, said=said)
    far = compare.farthest(made)
    cells = [
        Cells("dataset", [row["dataset"] for row in far]),
        Cells(
            "best",
            [row["first"] for row in far],
            second="accuracy",
            seconds=[fraction(r["accuracy_first"]) for r in far],
        ),
        Cells(
            "worst",
            [row["second"] for row in far],
            second="accuracy",
            seconds=[fraction(r["accuracy_second"]) for r in far],
        ),
        Cells("difference", [signed(row["difference"]) for row in far], True),
        Cells("seed noise", [row["noise"] for row in far]),
    ]
    if len(made.columns) == 2:
        cells[1] = replace(cells[1], title="first")
        cells[2] = replace(cells[2], title="second")
    table_html = ""
    if far:
        table_html = grid("t-farthest", "Datasets that differ most", cells) + paragraphs(
            "Seed noise: whether the runs behind the two accuracies explain their difference (95 %, each dataset by "
            "itself); not known where both are single runs."
        )
    return "\n".join([paragraphs(said), figure(svg, caption, csv_text(header, data), kind="wide"), table_html])


def _scatter(given: Material) -> str:
    """Return the scatter of one of ours beside the same model in a paper, or beside what else has most in common."""
    found = given.columns
    options = []
    for i in range(len(found)):
        for j in range(i + 1, len(found)):
            n = len(set(found[i].cells) & set(found[j].cells))
            paper = i < given.n_ours <= j and found[j].name.rpartition("/")[2] == found[i].name.partition(" (")[0]
            options.append((n > 0, paper, i < given.n_ours <= j, n, -i, -j))
    if not options or not max(options)[0]:
        return paragraphs("No two columns have a dataset on the same split in common: nothing to set side by side.")
    y, x = (-i for i in max(options)[-2:])
    places = _shared(found[x], found[y])
    points = [
        figures.Point(
            _placed(p),
            *(round(found[i].cells[p].accuracy, 6) for i in (x, y)),
            *(None if (std := found[i].cells[p].std) is None else round(std, 6) for i in (x, y)),
        )
        for p in places
    ]
    said = _side_by_side(found[x], found[y])
    title = f"{_marked(found[y])} against {_marked(found[x])}"
    svg = figures.scatter(
        "c-scatter", points, _marked(found[x]), _marked(found[y]), low=_least(found), title=title, said=said
    )
    data = csv_text(
        ["dataset", "split", "x", "y", "x_std", "y_std"],
        [(p.dataset, p.split, q.x, q.y, q.x_std, q.y_std) for p, q in zip(places, points, strict=True)],
    )
    caption = (
        "A dot a dataset: above the diagonal the upper column is better. Bars are one standard deviation over runs to "
        "either side, where it is known; the datasets farthest from the diagonal are named."
    )
    return (
        f'<div class="controls" id="scatter-controls" data-x="{x}" data-y="{y}"></div>\n'
        f'<p id="scatter-said">{escaped(said)}</p>\n' + figure(svg, caption, data)
    )


def _least(found: Sequence[Column]) -> float:
    """Return the lower end of the scatter's axes, below all that can be drawn: no choice of columns moves them."""
    times = Counter(place for column in found for place in column.cells)
    least = min(cell.accuracy for column in found for place, cell in column.cells.items() if times[place] > 1)
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


def _time(given: Material) -> str:
    if not given.rows:
        return ""
    names = given.names
    per_job = {
        name: {r["dataset"]: (r["train_seconds"] / r["n_seeds"], r["mean"]) for r in given.of(name)} for name in names
    }
    common = sorted(set.intersection(*(set(found) for found in per_job.values())))
    clouds, said = [], []
    for name, found in per_job.items():
        points = [
            (seconds, mean, f"{name[0]} on {dataset}: {mean:.4f}, {seconds:.1f} s")
            for dataset, (seconds, mean) in found.items()
        ]
        centre = None
        if common:
            centre = tuple(float(np.mean([found[d][i] for d in common])) for i in (0, 1))
            said.append(f"{called(name)}: {duration(centre[0])} a job, mean accuracy {centre[1]:.4f}")
        clouds.append(figures.Cloud(called(name), points, (centre[0], centre[1]) if centre else None))
    text = (
        f"Means over the {count(len(common), 'dataset')} that all have: {'; '.join(said)}."
        if common
        else "No dataset is common to all, so that there are no means to compare."
    )
    machines = sorted({str(r.get("hardware") or "not recorded") for r in given.done})
    on_machines = f"on {'; '.join(machines[:6])}"
    if any(map(store.has_processor_seconds, given.done)):
        devices = f"Seconds, {on_machines}, are {PROCESSOR_TIME}."
    else:
        devices = f"Seconds are wall clock {on_machines}. A job may have shared its processor with others."
    data = csv_text(
        ["dataset", "model", "protocol", "split", "seconds_a_job", "accuracy"],
        [
            (r["dataset"], r["model"], r["protocol"], r["split"], r["train_seconds"] / r["n_seeds"], float(r["mean"]))
            for r in given.rows
        ],
    )
    svg = figures.against_seconds("c-time", clouds, title="Accuracy against seconds of training", said=text)
    caption = "A small mark a dataset, mean over seeds; the large ones are the means over the datasets that all have."
    return paragraphs(text, devices) + "\n" + figure(svg, caption, data)


def _seeds(given: Material) -> str:
    seeds: dict[Name, dict[str, list[Record]]] = {name: defaultdict(list) for name in given.names}
    for record in given.done:
        dataset, model, protocol, split = tables.row_of(record)
        seeds[model, protocol, split][dataset].append(record)
    parts: list[str] = []
    single = []
    for n, (name, of) in enumerate(seeds.items()):
        rows = {row["dataset"]: row for row in given.of(name)}
        several = sorted((d for d in of if len(of[d]) > 1), key=lambda d: (-round(rows[d]["std"], 10), d))
        if not several:
            single.append(called(name))
            continue
        strips, data = [], []
        for dataset in several:
            row = rows[dataset]
            theirs = None if math.isnan(row["published"]) else row["published"] - row["mean"]
            std = None if math.isnan(row["published_std"]) else row["published_std"]
            strips.append(figures.Strip(dataset, [r["accuracy"] - row["mean"] for r in of[dataset]], theirs, std))
            data += [(dataset, r["seed"], float(r["accuracy"])) for r in of[dataset]]
        stds = np.array([rows[d]["std"] for d in several])
        said = (
            f"{called(name)}: the standard deviation over seeds is {np.median(stds):.4f} at the median of "
            f"{count(len(several), 'dataset')} with several seeds, and {stds.max():.4f} at most ({several[0]})."
        )
        if len(several) < len(of):
            said += f" {count(len(of) - len(several), 'dataset')} with a single seed: their noise is not known."
        svg = figures.strips(f"c-seeds-{n}", strips, title=f"Seed noise of {called(name)}", said=said)
        chart = figure(
            svg,
            "Accuracy of each seed minus the mean of the seeds, the noisiest dataset first.",
            csv_text(["dataset", "seed", "accuracy"], data),
        )
        state = "" if parts else " open"
        parts.append(f'<details class="more"{state}><summary>{escaped(said)}</summary>\n{chart}\n</details>')
    if single:
        parts.append(
            paragraphs(f"A single seed a dataset, so that nothing is known of the noise: {'; '.join(single)}.")
        )
    return "\n".join(parts)


def _selection(given: Material) -> str:
    rows, data, tests = [], [], []
    for n, name in enumerate(given.names):
        of: dict[str, list[Record]] = defaultdict(list)
        for record in given.done:
            if tables.row_of(record)[1:] == name:
                of[record["dataset"]].append(record)
        for rule, words in _RULES.items():
            both = [
                d
                for d, records in sorted(of.items())
                if all(r.get(rule) is not None and r.get("accuracy_least_train_loss") is not None for r in records)
            ]
            if not both:
                continue
            least, other = (
                np.array([np.mean([r[of_rule] for r in of[d]]) for d in both])
                for of_rule in ("accuracy_least_train_loss", rule)
            )
            rows.append((n, name, words, both, least, other))
            tests.append(stats.wilcoxon(other - least))
            data += [(d, *name, words, float(a), float(b)) for d, a, b in zip(both, least, other, strict=True)]
    if not rows:
        return paragraphs("The records hold no accuracy by several rules of selection.")
    adjusted = stats.holm([test.p for test in tests])
    ranges, said, lines = [], [], []
    for (n, name, words, both, least, other), p in zip(rows, adjusted, strict=True):
        difference = float((other - least).mean())
        low, high = stats.bootstrap(other - least)
        won, equal, lost = stats.wins(other, least)
        ranges.append(figures.Range(f"{called(name)}: {words}", difference, low, high, f"{won} / {equal} / {lost}", n))
        lines.append(
            (name, words, len(both), least.mean(), other.mean(), difference, (low, high), (won, equal, lost), p)
        )
        if p < ALPHA:
            said.append(f"{called(name)}, {words} ({signed(difference)}, p = {p_value(p)})")
    told = "Beside the weights with the least training loss, "
    told += (
        f"these differ (signed ranks, Holm): {'; '.join(said)}."
        if said
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
            second="95 % over datasets",
            seconds=[_between(*line[6], sign=True) for line in lines],
        ),
        Cells("better / equal / worse", [" / ".join(map(str, line[7])) for line in lines]),
        Cells("p, Holm", [p_value(line[8]) for line in lines], True),
    ]
    svg = figures.forest(
        "c-selection",
        ranges,
        axis="accuracy minus that of the weights with the least training loss",
        title="Effect of selecting the weights by another rule",
        said=told,
    )
    caption = (
        "Mean difference over datasets with its 95 % bootstrap interval; at the right the datasets on which the rule "
        "is better / equal / worse than the least training loss."
    )
    oracle = any(TEST_SELECTED in words for _, _, words, *_ in rows)
    return "\n".join(
        [
            paragraphs(told, f"The oracle is {TEST_SELECTED}: {MEANINGS[TEST_SELECTED]}." if oracle else ""),
            figure(
                svg,
                caption,
                csv_text(["dataset", "model", "protocol", "split", "rule", "least_train_loss", "accuracy"], data),
            ),
            grid("t-selection", "Rules of selection", cells),
        ]
    )


def _curves(given: Material) -> str:
    found = given.curves
    if not found:
        return paragraphs("The records hold no learning curves.")
    first = found[0]
    shown = [t for t in found if (t.dataset, t.name) == (first.dataset, first.name)]
    lines = [figures.Curve(f"seed {t.seed}", t.epochs, t.losses, t.best) for t in shown]
    title = f"Training loss of {called(first.name)} on {first.dataset}"
    svg = figures.curves(
        "c-curves",
        lines,
        most_epochs=max(t.epochs[-1] for t in found),
        least=min(min(t.losses) for t in found),
        most=max(max(t.losses) for t in found),
        title=title,
        said=_told(shown),
    )
    data = csv_text(
        ["seed", "epoch", "loss"],
        [(t.seed, e, loss) for t in shown for e, loss in zip(t.epochs, t.losses, strict=True)],
    )
    caption = (
        "A line a seed, a mark where its weights were kept. Both axes are logarithmic and the same for all choices; a "
        f"loss below {figures.CURVE_FLOOR:g} is drawn there."
    )
    return f'<div class="controls" id="curve-controls"></div>\n<p id="curves-said">{escaped(title)}.</p>\n' + figure(
        svg, caption, data
    )


def _told(shown: Sequence[Trained]) -> str:
    return " ".join(
        f"Seed {t.seed}: from {t.losses[0]:g} to {t.losses[-1]:g} in {count(t.epochs[-1], 'epoch')}"
        + (f", kept from epoch {t.best[0]}." if t.best else ".")
        for t in shown
    )


def _failures(given: Material) -> str:
    rows = given.failures
    if not rows:
        return paragraphs("Nothing failed and nothing was skipped.")
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
    said = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    return paragraphs(f"{said}. None of them is in any average.") + grid("t-failures", "Failed and skipped", cells)


def _provenance(given: Material) -> str:
    parts = []
    if given.done:
        cells = [Cells(title, texts, side == ">") for title, side, texts in render.machines(given.done)]
        parts.append(grid("t-machines", "Machines", cells))
        facts = [f"<dt>{escaped(what)}</dt><dd>{escaped(text)}</dd>" for what, text in render.origins(given.done)]
        parts.append("<dl>\n" + "\n".join(facts) + "\n</dl>")
    columns_of = [
        Cells("column", [_marked(c) for c in given.columns]),
        Cells("datasets", [str(len(c.cells)) for c in given.columns], True),
        Cells("what it is", [c.said for c in given.columns]),
        Cells("note", [c.note for c in given.columns]),
    ]
    if given.columns:
        parts.append(grid("t-columns", "Columns", columns_of))
    sources = {
        c.origin.removeprefix(score_columns.PUBLISHED)
        for c in given.columns
        if c.origin.startswith(score_columns.PUBLISHED)
    }
    known = published.sources()
    if sources:
        parts.append("<h3>Published figures</h3>")
        parts.append(
            items(
                f"{name}: {known[name].paper}, {known[name].where}; split {known[name].split}, weights selected by "
                f"{known[name].selected_by}. {known[name].note}"
                for name in sorted(sources)
            )
        )
    if given.commands:
        parts.append("<h3>Commands</h3>\n<p>The records were made by:</p>")
        parts.append(f'<pre class="box" tabindex="0">{escaped(chr(10).join(given.commands))}</pre>')
    return "\n".join(parts)


# ---------------------------------------------------------------------------------------------------------------------
# The page


def _data(given: Material) -> dict[str, Any]:
    """Return what page.js draws from when another pair or another curve is chosen."""
    places = sorted({place for column in given.columns for place in column.cells})
    number = {place: i for i, place in enumerate(places)}

    def cell(value: score_columns.Cell) -> list[float]:
        return [round(value.accuracy, 6), *([round(value.std, 6)] if value.std else [])]

    found = given.curves
    grids = list(dict.fromkeys(t.epochs for t in found))
    at = {epochs: i for i, epochs in enumerate(grids)}
    names, datasets = list(dict.fromkeys(t.name for t in found)), sorted({t.dataset for t in found})
    return {
        "places": [[figures.cleaned(place.dataset), figures.cleaned(place.split)] for place in places],
        "columns": [
            {
                "name": figures.cleaned(_marked(column)),
                "cells": {str(number[place]): cell(column.cells[place]) for place in sorted(column.cells)},
            }
            for column in given.columns
        ],
        "said": {
            f"{x},{y}": figures.cleaned(_side_by_side(given.columns[x], given.columns[y]))
            for x in range(len(given.columns))
            for y in range(len(given.columns))
            if x != y
        },
        "datasets": [figures.cleaned(dataset) for dataset in datasets],
        "names": [figures.cleaned(called(name)) for name in names],
        "epochs": grids,
        "curves": [
            [datasets.index(t.dataset), names.index(t.name), t.seed, at[t.epochs], t.losses, t.best] for t in found
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


def page(given: Material) -> str:
    """Return the page as HTML."""
    counts = Counter(row["status"] for row in given.failures)
    seconds = math.fsum(store.seconds(record, "train") or 0.0 for record in given.done)
    said = (
        f"{count(len(given.done), 'job')} ok, {counts['failed']} failed, {counts['skipped']} skipped; "
        f"{count(len({row['dataset'] for row in given.rows}), 'dataset')}; {seconds / 3600:.2f} hours of training."
    )
    made = [(ident, title, section(given)) for ident, title, section in SECTIONS]
    return document(said, [(ident, title, text) for ident, title, text in made if text], _data(given))


def report(results: Path, words: Sequence[str] = ()) -> str:
    """Return the page of a results folder beside the columns that words name (`score_columns.read`).

    Without words the published columns that stand beside ours are taken. Raises UserError where there are no records,
    where they mix experiments under one name, and for a word that names nothing.
    """
    records = tables.read(results)
    ours = score_columns.read([str(results)]) if any(r["status"] == "ok" for r in records) else []
    others = score_columns.read(words) if words else None
    path = results / "commands.txt"
    commands = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return page(gather(records, ours, others, [line.strip() for line in commands if line.strip()]))


def check(path: Path) -> None:
    """Raise UserError where `path` is a file that is no report, which writing one would replace."""
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: name a file to write, as {path / 'report.html'}")
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(FIRST_LINE.encode())) != FIRST_LINE.encode():
                raise UserError(f"'{path}' is not a report of tsfcn's and would be replaced: write to another --out")

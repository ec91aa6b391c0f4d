"""Verdicts follow their rules, and their words are as often wrong as docs/verdict.md says."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.records import PASSPORT, record
from tsfcn.analysis import stats, verdict
from tsfcn.analysis import tables as table
from tsfcn.analysis.verdict import PairedAccuracy, Verdict, judge, paired_accuracies
from tsfcn.data.catalogue import SETS

ROOT = Path(__file__).parents[3]


def row(accuracy: float = 0.9, published: float = 0.9, **other: Any) -> PairedAccuracy:
    fields: dict[str, Any] = {"dataset": "A", "n_test": 1000, "std": 0.002, "n_seeds": 5}
    fields |= {"published_std": 0.002, "published_runs": 5, **other}
    return PairedAccuracy(accuracy=accuracy, published=published, **fields)


def one(pair: PairedAccuracy) -> Verdict:
    (found,) = judge([pair]).verdicts
    return found


def test_equivalent_needs_the_interval_inside_the_margin() -> None:
    assert one(row()).word == "equivalent"
    close = one(row(0.915))
    assert close.word == "equivalent" and close.high <= close.margin == 0.02
    far = one(row(0.918))
    assert far.word == "undecided" and far.difference < far.margin < far.high


def test_different_needs_significance_and_a_difference_beyond_the_margin() -> None:
    assert one(row(0.93)).word == "different"
    significant = one(row(0.918, std=0.0001, published_std=0.0001))
    assert significant.p < 1e-6 and significant.word == "equivalent", "significant, and of no interest"
    noisy = one(row(0.93, std=0.05, published_runs=100))
    assert noisy.word == "undecided" and abs(noisy.difference) > noisy.margin


def test_margin_is_at_least_one_test_case() -> None:
    assert one(row(n_test=20)).margin == 0.05
    assert one(row(n_test=50)).margin == one(row(n_test=8000)).margin == 0.02


def test_deviations_are_at_least_half_a_test_case() -> None:
    same = one(row(std=0.0, published_std=0.0, n_test=28, accuracy=1.0, published=1.0))
    assert same.low == pytest.approx(-stats.student(0.9, 8) * (0.5 / 28) * np.sqrt(0.4))
    assert same.word == "equivalent"
    one_case = one(row(std=0.0, published_std=0.0, n_test=28, accuracy=27 / 28, published=1.0))
    assert one_case.word == "undecidable", "exactly the margin"


def test_interval_is_the_more_careful_of_two_tests() -> None:
    d = 0.02
    for sd_1, n_1, sd_2, n_2 in ((0.01, 3, 0.01, 10), (0.03, 3, 0.01, 10), (0.001, 10, 0.02, 3)):
        low, high, p = verdict.interval(np.array(d), np.array(sd_1), n_1, np.array(sd_2), n_2)
        both = [test(d, sd_1, n_1, sd_2, n_2) for test in (stats.welch, stats.pooled)]
        assert low == min(b[0] for b in both) and high == max(b[1] for b in both) and p == max(b[2] for b in both)


def test_undecidable_where_the_published_runs_leave_too_much_open() -> None:
    found = one(row(published_std=0.05))
    assert (found.word, found.text) == ("undecidable", "undecidable: the published runs are too few")
    assert found.more_seeds is None
    assert one(row(published_std=0.05, published_runs=100, n_seeds=60)).word == "equivalent"


def test_seeds_that_decide_do_decide() -> None:
    for start in (row(0.912, std=0.01, n_seeds=3), row(0.935, std=0.02, n_seeds=3), row(0.9, n_seeds=2, std=0.02)):
        found = one(start)
        assert found.word == "undecided" and found.more_seeds is not None
        enough = replace(start, n_seeds=start.n_seeds + found.more_seeds)
        assert one(enough).word in ("equivalent", "different")
        assert one(replace(enough, n_seeds=enough.n_seeds - 1)).word == "undecided"
        plural = "" if found.more_seeds == 1 else "s"
        assert found.text == f"undecided, {found.more_seeds} more seed{plural}"
    late = one(row(std=0.3, published_std=0.3, published_runs=1000))
    assert late.text == "undecided, more than 100 more seeds"
    never = one(row(0.9199, published_std=0.01))
    assert never.text == "undecidable: the published runs are too few", "no number of our seeds decides it"
    assert one(row(0.9199, published_std=0.01, n_seeds=10**6)).word == "undecidable"


def test_a_single_seed_of_ours_is_undecided() -> None:
    found = one(row(std=None, n_seeds=1))
    assert found.word == "undecided" and found.more_seeds is not None and np.isnan(found.p)
    far = one(row(0.9199, std=None, n_seeds=1, published_std=0.01))
    assert far.text == "undecided: a single seed", "its mean will move"
    mean = judge([row(std=None, n_seeds=1), row()]).mean
    assert mean.n_datasets == 2 and np.isnan(mean.low)


def test_against_a_single_run_the_words_are_inside_and_outside() -> None:
    single: dict[str, Any] = {"published_std": None, "published_runs": 1}
    inside, outside = one(row(0.91, std=0.01, **single)), one(row(0.99, std=0.01, **single))
    assert (inside.word, outside.word) == ("inside", "outside")
    assert inside.low <= 0 <= inside.high and not outside.low <= 0 <= outside.high
    assert one(row(0.91, std=0.0005, **single)).word == "inside", "within the margin"
    assert one(row(0.91, std=None, n_seeds=1, **single)).text == "undecided, 2 more seeds"
    assert one(row(0.9, published_runs=5, published_std=None)).word == "inside", "a mean without its deviation"
    # More seeds than six sharpen our mean, not the law of a single run.
    wide, wider = (one(row(0.9, std=0.01, n_seeds=n, **single)).high for n in (6, 60))
    assert wide > wider > stats.student(0.9, 5) * 0.01


def test_holm_is_over_all_datasets() -> None:
    alone = row(0.93, std=0.01, published_std=0.01)
    assert one(alone).word == "different"
    many = judge([alone, *[row(0.9, dataset=str(i)) for i in range(60)]])
    first = many.verdicts[0]
    assert first.p == one(alone).p and first.p_holm == pytest.approx(61 * first.p)
    assert first.p_bh <= first.p_holm
    assert many.counts == {"equivalent": 60, "undecided": 1}
    assert many.n_different_bh == 0


def alternating(n: int = 40, **other: Any) -> list[PairedAccuracy]:
    """Return rows whose differences are 0.001 and -0.001 in turn."""
    return [row(0.9 + (0.001 if i % 2 else -0.001), dataset=str(i), **other) for i in range(n)]


def test_typical_difference_is_equivalent_inside_its_margin_and_different_beyond_it() -> None:
    near = judge(alternating()).typical
    assert (near.n_datasets, near.word, near.text) == (40, "equivalent", "equivalent")
    assert near.difference == pytest.approx(0.0)
    assert -verdict.TYPICAL_MARGIN < near.low <= near.difference <= near.high < verdict.TYPICAL_MARGIN
    far = judge([replace(r, accuracy=r.accuracy + 0.01) for r in alternating()]).typical
    assert far.word == "different" and far.difference == pytest.approx(0.01) and far.p < 1e-6
    spread = [row(0.9045 + 0.002 * (i % 7 - 3) + i / 1e6, dataset=str(i)) for i in range(40)]
    between = judge(spread).typical
    assert between.p < 1e-6 and between.word == "undecided", "significant, but the interval crosses the margin"


def test_typical_difference_is_not_moved_by_few_datasets_and_the_mean_is() -> None:
    rows = alternating()
    failed = [replace(r, accuracy=r.accuracy - 0.4, std=0.2) for r in rows[:2]]
    judged = judge([*failed, *rows[2:]])
    assert judged.mean.difference < -0.015 and judged.typical.word == "equivalent"
    assert abs(judged.typical.difference) < 0.001


def test_typical_difference_needs_no_second_seed_and_no_second_published_run() -> None:
    one_seed: dict[str, Any] = {"n_seeds": 1, "std": None}
    one_run: dict[str, Any] = {"published_runs": 1, "published_std": None}
    for other in (one_seed, one_run, one_seed | one_run):
        assert judge(alternating(**other)).typical.word == "equivalent"


def test_typical_difference_of_few_datasets_is_undecided() -> None:
    few = judge(alternating(4)).typical
    assert few.text == "undecided: fewer than 5 datasets" and np.isnan([few.low, few.high]).all()
    assert not np.isnan(judge(alternating(5)).typical.low)


def test_datasets_with_a_word_are_named() -> None:
    judged = judge([row(0.99, dataset="far"), *alternating(5)])
    assert judged.named("different", "outside") == ["far"] and len(judged.named("equivalent")) == 5


def test_rows_of_an_accuracy_table_are_judged() -> None:
    lstm: dict[str, Any] = {"model": "lstm_fcn", "protocol": "karim2019"}
    old = PASSPORT | {"split": "ucr2015"}
    records = [record("GunPoint", seed=s, accuracy=a) for s, a in enumerate((1.0, 0.9933, 1.0))]
    records += [record("FordB", passport=old, seed=s, accuracy=0.9 + s / 1000, **lstm) for s in range(3)]
    records += [record("FordB", accuracy=0.5, **lstm), record("Coffee", protocol="smoke")]
    rows = paired_accuracies(table.accuracy(records).to_dict("records"))
    assert [(r.dataset, r.n_test, r.n_seeds, r.published_runs) for r in rows] == [
        ("FordB", 3636, 3, 1),  # the test cases of the 2015 files
        ("GunPoint", 150, 3, 5),
    ]
    assert [v.word for v in judge(rows).verdicts] == ["inside", "equivalent"]
    with pytest.raises(ValueError, match="nothing to judge"):
        judge(paired_accuracies(table.accuracy(records[-1:]).to_dict("records")))


# ---------------------------------------------------------------------------------------------------------------------
# Simulation


@pytest.fixture(scope="module")
def simulation() -> Any:
    spec = importlib.util.spec_from_file_location("benchmarks_verdict", ROOT / "benchmarks" / "verdict.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_simulated_runs_have_the_spreads_of_the_published_ones(simulation: Any) -> None:
    of, rng = simulation.spreads("fcn"), np.random.default_rng(0)
    drawn = np.stack([simulation.draw(rng, of, 5) for _ in range(400)])  # (archives, datasets, runs)
    inside = (of.mean > 0.1) & (of.mean < 0.9) & (of.n_test > 200)  # neither clipped nor coarse
    assert drawn.std(axis=(0, 2))[inside] == pytest.approx(of.std[inside], rel=0.12, abs=0.0015)
    assert (np.ptp(drawn[:, of.std == 0], axis=(0, 2)) == 0).all() and (of.std == 0).sum() == 6
    meat = of.names.index("Meat")
    assert of.std[meat] > 0.1 and drawn[:, meat].min() < 0.6 < drawn[:, meat].max()


def test_error_rates_are_what_the_documentation_says(simulation: Any) -> None:
    fcn, n = simulation.spreads("fcn"), 150
    margin = simulation.toward_middle(fcn, verdict.margins(fcn.n_test))
    for ours, theirs in ((3, 5), (5, 5), (3, 10)):
        same = simulation.several(fcn, ours, theirs, n=n, seed=1)
        edge = simulation.several(fcn, ours, theirs, shift=margin, n=n, seed=2)
        assert same.any_different <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
        assert edge.equivalent.mean() <= 0.05
        assert same.equivalent.mean() > 0.45
    _, any_outside, _ = simulation.single(fcn, 10, n=n, seed=3)
    assert any_outside <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)


def test_error_rates_of_the_typical_difference_are_what_the_documentation_says(simulation: Any) -> None:
    fcn = simulation.spreads("fcn")
    small, n = simulation.subset(fcn, SETS["small"]), 150
    assert len(small.names) == 30
    tolerance = 2 * np.sqrt(0.05 * 0.95 / n)
    for of, ours, theirs in ((fcn, 3, 5), (small, 3, 5), (small, 5, 1)):
        same, edge, far = (
            simulation.archive(of, ours, theirs, worse=worse, n=n, seed=seed)
            for seed, worse in enumerate((0.0, 0.005, 0.01))
        )
        assert same.equivalent > 0.85 and same.different <= 0.05
        assert edge.equivalent <= 0.05 + tolerance
        assert far.different > 0.9


def test_intervals_of_a_mean_over_few_datasets_cover_it_more_often_than_a_bootstrap(simulation: Any) -> None:
    student, bootstrap = simulation.coverage(np.random.default_rng(0).normal(size=128), 5, n=300, seed=0)
    assert bootstrap < 0.9 < student < 0.99


def test_the_judge_decides_as_the_simulation_does(simulation: Any) -> None:
    fcn, rng = simulation.spreads("fcn"), np.random.default_rng(5)
    ours, theirs = simulation.draw(rng, fcn, 3, shift=-0.03), simulation.draw(rng, fcn, 5)
    rows = [
        PairedAccuracy(name, int(n), float(x.mean()), float(x.std(ddof=1)), 3, float(y.mean()), float(y.std(ddof=1)), 5)
        for name, n, x, y in zip(fcn.names, fcn.n_test, ours, theirs, strict=True)
    ]
    words = np.array([v.word for v in judge(rows).verdicts])
    d, margin = ours.mean(axis=1) - theirs.mean(axis=1), verdict.margins(fcn.n_test)
    sd = [verdict.floored(x.std(axis=1, ddof=1), fcn.n_test) for x in (ours, theirs)]
    low, high, p = verdict.interval(d, sd[0], 3, sd[1], 5)
    different = verdict.is_different(d, stats.holm(p), margin)
    assert different.any()
    assert np.array_equal(words == "different", different)
    assert np.array_equal(words == "equivalent", verdict.is_equivalent(low, high, margin) & ~different)
    assert judge(rows).typical == verdict.typical(d, stats.standard_error(sd[0], 3, sd[1], 5))


def test_documentation_has_the_tables_of_the_simulation() -> None:
    written = (ROOT / "docs" / "verdict.md").read_text()
    tables = re.search(
        r"<!-- benchmarks/verdict.py begins -->\n(.*)\n<!-- benchmarks/verdict.py ends -->", written, re.S
    )
    assert tables is not None
    n = re.match(r"(\d+) archives of 128 datasets a line\.", tables[1])
    assert n is not None and int(n[1]) >= 2000
    for name in ("Meat", "EthanolLevel", "the 6 whose runs all agree"):
        assert f"| {name} |" in tables[1]
    for rule in (verdict.MARGIN, verdict.TYPICAL_MARGIN, verdict.ALPHA):
        assert f"{rule:g}" in written
    assert f"at most {verdict.TAIL_DF}\n  degrees" in written

"""The published figures: complete, consistent with their split, and never beside ours where the split differs."""

from __future__ import annotations

from statistics import fmean

import pytest

from tsfcn.catalogue import CATALOGUE, SETS
from tsfcn.errors import UserError
from tsfcn.published import Figure, beside, read, same_split, sources


@pytest.mark.parametrize("source", list(sources()))
def test_a_source_holds_what_its_passport_says(source: str) -> None:
    passport = sources()[source]
    figures = read(source)
    models = {figure.model for figure in figures}
    metrics = {figure.metric for figure in figures}
    datasets = {figure.dataset for figure in figures}
    assert len(datasets) == passport.n_datasets
    assert datasets <= set(CATALOGUE)
    assert models <= {"fcn", "resnet", "mlp", "lstm_fcn", "alstm_fcn"}
    # Every combination once.
    assert len({(f.dataset, f.model, f.metric) for f in figures}) == len(figures)
    assert len(figures) == len(models) * len(metrics) * len(datasets)
    for figure in figures:
        assert figure.n_runs == passport.n_runs
        assert (figure.std is None) == (passport.n_runs == 1)
        assert 0 <= figure.mean <= 1
        assert figure.selected_by == passport.selected_by
        assert figure.split in passport.split or figure.dataset in ("FordA", "FordB", "Strawberry")


@pytest.mark.parametrize(
    ("source", "model", "expected"),
    [
        # Derived from the sources' own files, independently of our CSVs.
        ("fawaz2019_ucr128", "fcn", 0.7859),
        ("fawaz2019_ucr128", "resnet", 0.8066),
        ("karim2019", "lstm_fcn", 0.8427),
        ("karim2019", "alstm_fcn", 0.8280),
        ("karim2018", "lstm_fcn", 0.8724),
        ("karim2018", "alstm_fcn", 0.8786),
    ],
)
def test_mean_accuracy_over_a_source(source: str, model: str, expected: float) -> None:
    means = [f.mean for f in read(source) if f.model == model and f.metric == "accuracy"]
    assert fmean(means) == pytest.approx(expected, abs=0.5e-4)


@pytest.mark.parametrize(
    ("source", "model", "expected"),
    [("karim2018", "lstm_fcn", 0.0318), ("karim2018", "alstm_fcn", 0.0301), ("karim2019", "lstm_fcn", 0.0408)],
)
def test_mean_per_class_error_is_the_printed_one(source: str, model: str, expected: float) -> None:
    figures = [f for f in read(source) if f.model == model and f.metric == "accuracy"]
    mpce = fmean((1 - f.mean) / CATALOGUE[f.dataset].n_classes for f in figures)
    assert mpce == pytest.approx(expected, abs=0.5e-4)


def _fits(figure: Figure, n_test: int, rounding: float) -> bool:
    """Whether the figure is a mean of accuracies over that many test cases, given the rounding of what was printed."""
    correct = figure.mean * n_test * figure.n_runs
    return abs(correct - round(correct)) <= rounding * n_test * figure.n_runs


@pytest.mark.parametrize("source", ["fawaz2019_ucr128", "fawaz2019_ucr85", "karim2018", "karim2019"])
def test_accuracies_are_whole_test_cases_of_the_split_they_name(source: str) -> None:
    rounding = {"fawaz2019_ucr128": 0.6e-6, "fawaz2019_ucr85": 0.6e-6, "karim2018": 0.6e-4, "karim2019": 1e-5}[source]
    excluded = set()
    for figure in read(source):
        if figure.metric != "accuracy":
            continue
        facts = CATALOGUE[figure.dataset]
        n_test = facts.n_test if same_split(figure) else facts.n_train
        assert _fits(figure, n_test, rounding), figure
        if not _fits(figure, facts.n_test, rounding):
            excluded.add(figure.dataset)
    # The evidence itself: what is called swapped cannot have been measured on the 2018 test cases.
    assert excluded == {f.dataset for f in read(source) if not same_split(f)}


def test_swapped_are_the_fourteen_but_for_known_exceptions() -> None:
    swapped = {name for name in SETS["ucr85"] if name not in SETS["same_split"]}
    assert {f.dataset for f in read("karim2019") if not same_split(f)} == swapped
    assert {f.dataset for f in read("karim2018") if not same_split(f)} == swapped - {"Strawberry"}
    assert {f.dataset for f in read("fawaz2019_ucr85") if not same_split(f)} == {"FordA", "FordB"}
    assert all(same_split(f) for f in read("fawaz2019_ucr128"))
    assert all(same_split(f) for f in read("wang2017_table1"))


def test_beside_finds_the_papers_own_figure() -> None:
    figure = beside("fawaz2019", "fcn", "ItalyPowerDemand")
    assert figure is not None
    assert (figure.source, figure.metric, figure.n_runs) == ("fawaz2019_ucr128", "accuracy", 5)
    assert figure.mean == pytest.approx(0.963, abs=0.005)
    assert figure.std is not None
    lstm = beside("karim2019", "lstm_fcn", "Adiac")
    assert lstm is not None
    assert lstm.selected_by == "least training loss"
    assert lstm.std is None


def test_beside_prefers_wangs_table_and_falls_back_to_the_readme() -> None:
    table = beside("wang2017", "resnet", "Haptics")
    readme = beside("wang2017", "fcn", "ArrowHead")
    assert table is not None
    assert (table.source, table.mean) == ("wang2017_table1", 0.505)
    assert readme is not None
    assert readme.source == "wang2017_readme85"


@pytest.mark.parametrize(
    ("protocol", "model", "dataset"),
    [
        ("karim2019", "lstm_fcn", "FordA"),  # swapped
        ("wang2017", "fcn", "Strawberry"),  # swapped
        ("karim2019", "lstm_fcn", "Chinatown"),  # not in the paper's archive
        ("fawaz2019", "fcn", "DodgerLoopDay"),  # missing values: which file they read is not stated
        ("fawaz2019", "fcn", "PLAID"),  # unequal length, likewise
        ("fawaz2019", "lstm_fcn", "Coffee"),  # the paper did not run it
        ("karim2019", "fcn", "Coffee"),
        ("fawaz2019[epochs=3]", "fcn", "Coffee"),  # no longer the paper's protocol
        ("fawaz2019", "fcn[dropout=0.5]", "Coffee"),
        ("smoke", "fcn", "Coffee"),
        ("karim2018", "lstm_fcn", "Coffee"),  # selected on the test set
        ("fawaz2019", "fcn", "MyOwnData"),
    ],
)
def test_beside_is_silent_where_figures_do_not_compare(protocol: str, model: str, dataset: str) -> None:
    assert beside(protocol, model, dataset) is None


def test_fawaz_has_a_figure_beside_every_other_dataset() -> None:
    found = [name for name in CATALOGUE if beside("fawaz2019", "fcn", name) is not None]
    assert len(found) == 128 - 4 - 11
    assert "FordA" in found, "the 128-dataset run used the 2018 split"


def test_broken_figures_stay_and_say_so() -> None:
    for model in ("lstm_fcn", "alstm_fcn"):
        trace = beside("karim2019", model, "Trace")
        assert trace is not None
        assert trace.mean == 0.25
        assert "broken" in trace.note
    coffee = beside("karim2019", "lstm_fcn", "Coffee")
    assert coffee is not None
    assert coffee.note == ""


def test_an_unknown_source_is_a_mistake() -> None:
    with pytest.raises(UserError, match="published source 'fawaz' is not there: write one of fawaz2019_ucr128, "):
        read("fawaz")

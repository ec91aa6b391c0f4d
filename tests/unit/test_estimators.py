"""The classifiers for scikit-learn: its own checks, its tools, and the parameters and errors of ours."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import tsfcn
from tsfcn.common import machine
from tsfcn.common.errors import UserError
from tsfcn.data.dataset import Dataset
from tsfcn.estimators import (
    ALSTMFCNClassifier,
    EncoderClassifier,
    FCNClassifier,
    InceptionClassifier,
    LITEClassifier,
    LSTMFCNClassifier,
    MLPClassifier,
    MLSTMFCNClassifier,
    NetworkClassifier,
    ResNetClassifier,
)
from tsfcn.training import threads
from tsfcn.training.loop import Diverged

Array = npt.NDArray[Any]

# Small networks that learn scikit-learn's examples within seconds. In float32 a probability depends in its last bits
# on the size of the batch in which it is predicted.
CHECKED: dict[str, Any] = {
    "epochs": 25,
    "normalisation": "none",
    "batch_size": 32,
    "batch_divisor": 0,
    "precision": "float64",
    "random_state": 0,
}
CHECKED_CLASSIFIERS = [  # HInceptionClassifier and MALSTMFCNClassifier differ from others in their networks alone
    FCNClassifier(filters=(4,), kernels=(3,), lr=0.05, **CHECKED),
    ResNetClassifier(filters=(4,), kernels=(3,), lr=0.05, **CHECKED),
    LSTMFCNClassifier(filters=(4,), kernels=(3,), cells=2, lr=0.05, **CHECKED),
    ALSTMFCNClassifier(filters=(4,), kernels=(3,), cells=2, lr=0.05, **CHECKED),
    MLPClassifier(units=(8,), dropout=(0.0, 0.0), optimiser="adam", lr=0.05, **CHECKED),
    InceptionClassifier(filters=4, kernels=(3,), depth=3, lr=0.05, **CHECKED),
    LITEClassifier(filters=4, kernels=(3,), separable_kernels=(2,), dilations=(2,), lr=0.05, **CHECKED),
    EncoderClassifier(filters=(8,), kernels=(3,), units=4, dropout=0.0, lr=0.02, plateau_patience=50, **CHECKED),
    MLSTMFCNClassifier(filters=(4, 4), kernels=(3, 1), cells=2, lr=0.05, **CHECKED),
]


def expected_failures(classifier: NetworkClassifier) -> dict[str, str]:
    """Return the checks of scikit-learn that a classifier fails, with the reason."""
    reason = "a repeated case changes the batches, and with them the statistics of batch norm and the steps"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@pytest.mark.filterwarnings("default::RuntimeWarning")  # scikit-learn casts labels that are infinite
@parametrize_with_checks(CHECKED_CLASSIFIERS, expected_failed_checks=expected_failures)  # type: ignore[untyped-decorator]
def test_checks_of_scikit_learn(estimator: NetworkClassifier, check: Any) -> None:
    check(estimator)


SMALL: dict[str, Any] = {"protocol": "smoke", "filters": (6, 5, 4), "lr": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def italy() -> Dataset:
    """Return ItalyPowerDemand, which is bundled: 67 training cases of 24 timepoints."""
    return tsfcn.load("ItalyPowerDemand")


def small(**parameters: Any) -> FCNClassifier:
    """Return a small FCN of three epochs; `parameters` replace its own."""
    return FCNClassifier(**{**SMALL, **parameters})


def probabilities(classifier: NetworkClassifier, italy: Dataset, **fit: Any) -> Array:
    """Return the probabilities of the test cases after a fit on the training cases."""
    return classifier.fit(italy.x_train[:, 0], italy.y_train, **fit).predict_proba(italy.x_test[:, 0])


# ---------------------------------------------------------------------------------------------------------------------
# The tools of scikit-learn


def test_learns_a_real_dataset(italy: Dataset) -> None:
    classifier = FCNClassifier(epochs=30, filters=(16, 16, 16), random_state=0)
    assert classifier.fit(italy.x_train[:, 0], italy.y_train).score(italy.x_test[:, 0], italy.y_test) > 0.9


@pytest.mark.parametrize(
    "kind", [FCNClassifier, ResNetClassifier, LSTMFCNClassifier, ALSTMFCNClassifier, MLSTMFCNClassifier]
)
def test_pickle_gives_the_same_probabilities(kind: type[NetworkClassifier], italy: Dataset) -> None:
    classifier = kind(**SMALL)
    before = probabilities(classifier, italy)
    after = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(after.predict_proba(italy.x_test[:, 0]), before)
    assert after.get_params() == classifier.get_params()


def test_clone_has_the_parameters_and_nothing_that_was_fitted(italy: Dataset) -> None:
    classifier = small(epochs=2).fit(italy.x_train[:, 0], italy.y_train)
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        copy.predict(italy.x_test[:, 0])


def test_grid_search_in_two_processes(italy: Dataset) -> None:
    grid = {"epochs": [1, 40], "kernels": [(3, 3, 3)], "lr": np.array([0.002])}
    search = GridSearchCV(FCNClassifier(filters=(16, 16, 16), random_state=0), grid, cv=StratifiedKFold(2), n_jobs=2)
    search.fit(italy.x_train[:, 0], italy.y_train)
    assert search.best_params_["epochs"] == 40
    assert search.score(italy.x_test[:, 0], italy.y_test) > 0.8


def test_pipeline(italy: Dataset) -> None:
    pipeline = make_pipeline(StandardScaler(), small(normalisation="none"))
    pipeline.fit(italy.x_train[:, 0], italy.y_train)
    scaled = StandardScaler().fit(italy.x_train[:, 0])
    alone = small(normalisation="none").fit(scaled.transform(italy.x_train[:, 0]), italy.y_train)
    expected = alone.predict_proba(scaled.transform(italy.x_test[:, 0]))
    np.testing.assert_array_equal(pipeline.predict_proba(italy.x_test[:, 0]), expected)


@pytest.mark.parametrize("form", ["2-D", "3-D"])
def test_cross_val_score(form: str, italy: Dataset) -> None:
    x = italy.x_train[:, 0] if form == "2-D" else italy.x_train
    scores = cross_val_score(small(protocol="fawaz2019", epochs=25), x, italy.y_train, cv=3)
    assert scores.shape == (3,) and scores.mean() > 0.7


def test_joblib_processes_give_the_same_probabilities(italy: Dataset) -> None:
    alone = [probabilities(small(random_state=seed), italy) for seed in (0, 1)]
    together = Parallel(n_jobs=2)(delayed(probabilities)(small(random_state=seed), italy) for seed in (0, 1))
    np.testing.assert_array_equal(alone, together)


def test_forms_of_the_same_series_give_the_same_probabilities(italy: Dataset) -> None:
    flat = italy.x_train[:, 0]
    expected = probabilities(small(), italy)
    for x, test in (
        (italy.x_train, italy.x_test),
        (pd.DataFrame(flat), pd.DataFrame(italy.x_test[:, 0])),
        (list(flat), list(italy.x_test)),
        (flat.tolist(), italy.x_test[:, 0].tolist()),
        (flat, italy.x_test),
    ):
        classifier = small().fit(x, italy.y_train)
        np.testing.assert_array_equal(classifier.predict_proba(test), expected)
    assert hasattr(small().fit(flat, italy.y_train), "n_features_in_")


def test_number_of_threads_is_restored(italy: Dataset) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        probabilities(small(epochs=1), italy)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------------------------------------------------------
# Parameters


def test_random_state_of_numpy_draws_a_seed(italy: Dataset) -> None:
    x, y = italy.x_train[:, 0], italy.y_train
    seeds = [small(epochs=1, random_state=np.random.RandomState(3)).fit(x, y).seed_ for _ in range(2)]
    assert seeds[0] == seeds[1] != small(epochs=1, random_state=np.random.RandomState(4)).fit(x, y).seed_
    assert small(epochs=1, random_state=np.int64(5)).fit(x, y).seed_ == 5


def test_early_stopping_keeps_the_least_loss_on_held_out_cases(italy: Dataset) -> None:
    classifier = small(epochs=400, lr=0.05, early_stopping=True, patience=5)
    classifier.fit(italy.x_train[:, 0], italy.y_train)
    n_epochs = len(classifier.curve_.loss)
    assert n_epochs < 400 and classifier.best_epoch_ == n_epochs - 5
    assert (classifier.settings_.validation, classifier.settings_.select) == (0.2, "validation")
    until_then = small(epochs=classifier.best_epoch_, lr=0.05, validation=0.2, select="last")
    until_then.fit(italy.x_train[:, 0], italy.y_train)
    expected = until_then.predict_proba(italy.x_test[:, 0])
    np.testing.assert_array_equal(classifier.predict_proba(italy.x_test[:, 0]), expected)


def test_class_weight_mapping_is_a_sample_weight(italy: Dataset) -> None:
    first, second = np.unique(italy.y_train)
    weights = np.where(italy.y_train == first, 3.0, 0.5)
    mapped = probabilities(small(class_weight={first: 3.0, second: 0.5}), italy)
    np.testing.assert_array_equal(mapped, probabilities(small(), italy, sample_weight=weights))
    both = probabilities(small(class_weight={first: 3.0, second: 0.5}), italy, sample_weight=weights)
    np.testing.assert_array_equal(both, probabilities(small(), italy, sample_weight=weights**2))
    assert mapped[:, 0].mean() > probabilities(small(class_weight={first: 0.5, second: 3.0}), italy)[:, 0].mean() + 0.05


def test_sample_weight_of_one_changes_nothing_and_of_zero_removes_a_case(italy: Dataset) -> None:
    plain = probabilities(small(), italy)
    np.testing.assert_array_equal(probabilities(small(), italy, sample_weight=np.ones(67)), plain)
    weights = np.ones(67)
    weights[:20] = 0
    rest = small().fit(italy.x_train[20:, 0], italy.y_train[20:])
    expected = rest.predict_proba(italy.x_test[:, 0])
    np.testing.assert_array_equal(probabilities(small(), italy, sample_weight=weights), expected)


class Recorder:
    """A callback that keeps the epochs, and disturbs every source of random numbers that is not the classifier's."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.losses: list[float] = []

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.epochs.append(epoch)
        self.losses.append(logs["loss"])
        torch.manual_seed(epoch)
        np.random.seed(epoch)
        random.seed(epoch)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_callbacks_see_every_epoch_and_change_no_number(engine: str, italy: Dataset) -> None:
    recorder = Recorder()
    classifier = small(engine=engine, callbacks=[recorder], epochs=4)
    seen = probabilities(classifier, italy)
    assert recorder.epochs == [1, 2, 3, 4]
    assert recorder.losses == classifier.curve_.loss
    np.testing.assert_array_equal(seen, probabilities(small(engine=engine, epochs=4), italy))


def test_callbacks_see_the_epochs_of_all_lstm_sizes(italy: Dataset) -> None:
    recorder = Recorder()
    classifier = LSTMFCNClassifier(**{**SMALL, "protocol": "karim2019", "epochs": 2, "callbacks": [recorder]})
    classifier.fit(italy.x_train[:, 0], italy.y_train)
    assert recorder.epochs[-1] == 2 * len(classifier.settings_.cells) > 2


@pytest.mark.parametrize(("n_jobs", "n_threads"), [(None, 1), (3, 3), (-1, 8), (-2, 7), (-20, 1)])
def test_n_jobs_are_the_threads_of_a_step_and_change_no_bit(
    n_jobs: int | None, n_threads: int, italy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    seen: list[int] = []
    callbacks = [lambda epoch, logs: seen.append(threads.step_threads())]
    parallel = probabilities(small(filters=(64, 64, 32), n_jobs=n_jobs, callbacks=callbacks), italy)
    assert seen == [n_threads] * 3 and threads.step_threads() == 1
    np.testing.assert_array_equal(parallel, probabilities(small(filters=(64, 64, 32)), italy))


def test_verbose_shows_a_bar_and_changes_no_number(italy: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    silent = probabilities(small(), italy)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(probabilities(small(verbose=True), italy), silent)
    shown = capsys.readouterr()
    assert "epoch 3 of 3" in shown.err and "loss 0." in shown.err and shown.out == ""


# ---------------------------------------------------------------------------------------------------------------------
# Length


@pytest.mark.parametrize("kind", [FCNClassifier, ResNetClassifier])
@pytest.mark.filterwarnings("ignore:.*receptive field")
def test_global_pooling_takes_any_length_and_each_case_alone(kind: type[NetworkClassifier], italy: Dataset) -> None:
    classifier = kind(**SMALL, precision="float64").fit(italy.x_train[:, 0], italy.y_train)
    longer = np.concatenate([italy.x_test[0], italy.x_test[1]], axis=1)
    cases = [longer, *(italy.x_test[0][:, :length] for length in (1, 2, 5, 13, 14, 24)), italy.x_test[2]]
    together = classifier.predict_proba(cases)
    for case, expected in zip(cases, together, strict=True):
        np.testing.assert_allclose(classifier.predict_proba(case[None])[0], expected, rtol=0, atol=1e-12)
        x = torch.from_numpy(classifier.prepare(case[None])[0]).double()[:, :, : case.shape[1]]
        with torch.no_grad():
            bare = torch.softmax(classifier.network_(x), dim=1)[0].numpy()
        np.testing.assert_allclose(bare, expected, rtol=0, atol=1e-7)
    assert len({tuple(row) for row in together.round(6)}) > 5


def test_cases_shorter_than_the_receptive_field_are_noted(italy: Dataset, recwarn: pytest.WarningsRecorder) -> None:
    classifier = small().fit(italy.x_train[:, 0], italy.y_train)
    classifier.predict([italy.x_test[0][:, :14], italy.x_test[1]])
    assert not recwarn.list
    with pytest.warns(UserWarning, match="2 of 3 cases are shorter than the receptive field of the network, 14 timep"):
        classifier.predict([italy.x_test[0][:, :13], italy.x_test[1][:, :1], italy.x_test[1]])


def test_training_cases_shorter_than_the_receptive_field_are_not_noted(
    italy: Dataset, recwarn: pytest.WarningsRecorder
) -> None:
    small().fit(italy.x_train[:, 0, :8], italy.y_train).predict(italy.x_test[:, 0, :8])
    assert not recwarn.list


REFUSALS = {
    MLPClassifier: "since each timepoint is an input of its first layer",
    EncoderClassifier: "since its last layer takes the activations of all timepoints",
    MLSTMFCNClassifier: "since with shuffle=True the timepoints are the features of the LSTM",
    LSTMFCNClassifier: "since with shuffle=True the timepoints are the features of the LSTM",
    ALSTMFCNClassifier: "since with shuffle=True the timepoints are the features of the LSTM",
}


def fixed(kind: type[NetworkClassifier], **parameters: Any) -> NetworkClassifier:
    """Return a small classifier of two epochs."""
    width = {"units": (4,), "dropout": (0.0, 0.0)} if kind is MLPClassifier else {"filters": (4,), "kernels": (3,)}
    return kind(protocol="smoke", epochs=2, random_state=0, **{**width, **parameters})


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("length", [23, 25])
def test_networks_of_one_length_refuse_another(kind: type[NetworkClassifier], length: int, italy: Dataset) -> None:
    classifier = fixed(kind).fit(italy.x_train, italy.y_train)
    wide = np.concatenate([italy.x_test, italy.x_test], axis=2)
    message = rf"X case 1 has {length} timepoints, {kind.__name__} takes 24, {REFUSALS[kind]}: .*use FCNClassifier"
    with pytest.raises(UserError, match=message):
        classifier.predict([wide[0, :, :24], wide[1, :, :length]])
    assert classifier.predict(list(italy.x_test)).shape == (1029,)


@pytest.mark.parametrize("kind", REFUSALS)
def test_networks_of_one_length_pad_as_in_training(kind: type[NetworkClassifier], italy: Dataset) -> None:
    cases = [case[:, : 24 - number % 5] for number, case in enumerate(italy.x_train)]
    classifier = fixed(kind, normalisation="none").fit(cases, italy.y_train)
    assert classifier.training_lengths_ == (20, 24)
    padded = italy.x_test[:1].copy()
    padded[:, :, 12:] = 0
    expected = classifier.predict_proba(padded)
    np.testing.assert_allclose(classifier.predict_proba([italy.x_test[0, :, :12]]), expected, rtol=0, atol=1e-6)
    with pytest.raises(UserError, match=r"X case 0 has 48 timepoints, .* takes at most 24, since"):
        classifier.predict([np.tile(italy.x_test[0], 2)])


def test_the_lstm_without_the_shuffle_takes_any_length(italy: Dataset) -> None:
    classifier = fixed(LSTMFCNClassifier, shuffle=False).fit(italy.x_train, italy.y_train)
    assert classifier.predict([italy.x_test[0, :, :20], np.tile(italy.x_test[0], 2)]).shape == (2,)


def test_two_dimensional_input_is_strict_about_its_width(italy: Dataset) -> None:
    classifier = small().fit(italy.x_train[:, 0], italy.y_train)
    with pytest.raises(ValueError, match="X has 20 features, but FCNClassifier is expecting 24 features"):
        classifier.predict(italy.x_test[:, 0, :20])
    assert classifier.predict(italy.x_test[:, :, :20]).shape == (1029,)
    assert classifier.predict([italy.x_test[0, 0, :20]]).shape == (1,)


def test_missing_values_in_a_table_are_no_end(italy: Dataset) -> None:
    x = italy.x_test[:5, 0].copy()
    x[:, 20:] = np.nan
    classifier = small(normalisation="none").fit(italy.x_train[:, 0], italy.y_train)
    np.testing.assert_array_equal(classifier.predict_proba(x), classifier.predict_proba(np.nan_to_num(x)))
    ended = classifier.predict_proba(x[:, None])
    np.testing.assert_allclose(ended, classifier.predict_proba(italy.x_test[:5, :, :20]), rtol=0, atol=1e-6)
    assert not np.allclose(ended, classifier.predict_proba(x), atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"protocol": "fawaz2020"}, "protocol 'fawaz2020' .*fawaz2019"),
        ({"epochs": 0}, "epochs=0 is out of range"),
        ({"lr": -1.0}, "lr=-1 is out of range"),
        ({"filters": (4, 4)}, "of different length"),
        ({"class_weight": "equal"}, "class_weight='equal' is not known: use 'balanced', a mapping or None"),
        ({"class_weight": {"3": 1.0}}, "class_weight has '3', which is not a class: use the classes of y, .'1', '2'."),
        ({"class_weight": {1: 1.0}}, "class_weight has 1, which is not a class"),
        ({"early_stopping": True, "patience": 0}, "patience=0 is out of range: give at least 1"),
        ({"select": "test_oracle"}, "select=test_oracle is for runs with a test set"),
        ({"select": "validation"}, "without held-out cases"),
        ({"precision": "float16"}, "precision=float16 is not known"),
        ({"precision": "bfloat16", "early_stopping": True}, "early stopping need the reference loop"),
        ({"device": "gpu"}, "device"),
        ({"engine": "quick"}, "engine=quick is not known: use one of auto, reference, fast"),
        ({"length": "trim"}, "length"),
        ({"epochs": 2.5}, "^epochs=2.5 is of another type: give an integer"),
        ({"epochs": True}, "^epochs=True is of another type"),
        ({"lr": "0.1"}, "^lr='0.1' is of another type: give a number"),
        ({"filters": 5}, "^filters=5 is of another type: give a sequence of integers"),
        ({"betas": 0.9}, "^betas=0.9 is of another type: give a sequence of numbers"),
        ({"callbacks": [3]}, "^callbacks=.3. is of another type: give a sequence of functions"),
        ({"early_stopping": "yes"}, "^early_stopping='yes' is of another type: give True or False"),
        ({"protocol": None}, "^protocol=None is of another type: give text"),
        ({"random_state": -1}, "random_state=-1 is negative"),
        ({"class_weight": {"1": -1.0}}, "class_weight has -1.0 for class '1': give a number of at least 0"),
        ({"class_weight": {"1": float("nan")}}, "class_weight has nan for class '1'"),
        ({"class_weight": {"1": 0, "2": 0}}, "class_weight leaves no case with a loss"),
        ({"class_weight": [1, 2]}, "class_weight=.1, 2. is not known: use 'balanced', a mapping or None"),
        ({"early_stopping": True, "validation": 0.0, "select": "last"}, "early_stopping=True needs held-out cases"),
        ({"precision": "tf32"}, "^precision=tf32 is for NVIDIA GPUs"),
        ({"n_jobs": 0}, "^n_jobs=0 is out of range: give 1 to 512, -1 for all cores, or None"),
        ({"n_jobs": 1000}, "^n_jobs=1000 is out of range"),
        ({"n_jobs": "all"}, "^n_jobs='all' is of another type: give an integer"),
    ],
    ids=str,
)
def test_a_parameter_that_is_not_possible(parameters: dict[str, Any], message: str, italy: Dataset) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        small(**parameters).fit(italy.x_train[:, 0], italy.y_train)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_parameters(italy: Dataset) -> None:
    numbers = {
        "epochs": np.int64(2),
        "batch_size": np.int32(16),
        "lr": np.float32(0.01),
        "filters": np.array([6, 5, 4]),
    }
    classifier = small(**numbers).fit(italy.x_train, italy.y_train)
    assert classifier.settings_.epochs == 2 and type(classifier.settings_.batch_size) is int


@pytest.mark.parametrize("change", ["stopped", "diverged", "classes", "width"])
def test_a_failed_fit_leaves_the_classifier_as_it_was(change: str, italy: Dataset) -> None:
    def stop(epoch: int, logs: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    x = italy.x_test[:50, 0]
    classifier = small().fit(italy.x_train[:, 0], italy.y_train)
    before, probabilities = dict(vars(classifier)), classifier.predict_proba(x)
    changes: dict[str, dict[str, Any]] = {
        "stopped": {"callbacks": [stop]},
        "diverged": {"lr": 1e9},
        "width": {"epochs": 0},
    }
    changed = changes.get(change, {})
    labels = np.where(italy.y_train == "1", "walk", "run" if change != "classes" else "walk")
    with pytest.raises((KeyboardInterrupt, ValueError, Diverged)):
        classifier.set_params(**changed).fit(italy.x_train[:, 0, :20], labels)
    assert {name: value for name, value in vars(classifier).items() if name not in changed} == {
        name: value for name, value in before.items() if name not in changed
    }
    np.testing.assert_array_equal(classifier.predict_proba(x), probabilities)


def test_callbacks_and_the_bar_see_all_epochs_of_sizes_that_are_trained_at_once(
    italy: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs: list[int] = []
    classifier = LSTMFCNClassifier(
        epochs=3, random_state=0, filters=(6, 5, 4), callbacks=[lambda epoch, logs: epochs.append(epoch)], verbose=True
    ).fit(italy.x_train[:10, 0], italy.y_train[:10])
    assert len(classifier.settings_.cells) == 3
    end = re.findall(r"epoch (\d+) of (\d+)", capsys.readouterr().err)[-1]
    assert int(end[0]) == int(end[1]) == max(epochs)


def test_automatic_precision_is_float32_where_the_fast_engine_does_not_train(
    italy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsfcn.training.select_engine.build.has_bfloat16", lambda: True)
    for classifier in (
        small(precision="auto", early_stopping=True),
        MLPClassifier(protocol="smoke", units=(4, 4, 4), precision="auto"),
        ResNetClassifier(protocol="smoke", filters=(4, 4, 4), precision="auto"),
    ):
        assert classifier.fit(italy.x_train, italy.y_train).engine_ == "reference"


def test_channels_in_the_place_of_timepoints_are_reported(italy: Dataset) -> None:
    with pytest.warns(UserWarning, match="X has 24 channels of 1 timepoints: its axes are cases, channels, timepoints"):
        small(epochs=1).fit(np.swapaxes(italy.x_train, 1, 2), italy.y_train)


def test_labels_name_what_was_changed(italy: Dataset) -> None:
    classifier = small(epochs=2).fit(italy.x_train, italy.y_train)
    assert classifier.labels_ == ("fcn[filters=[6,5,4]]", "smoke[epochs=2, lr=0.01]")


def test_fits_in_several_threads_leave_the_number_of_torch_threads(italy: Dataset) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as pool:
            fits = [pool.submit(small().fit, italy.x_train, italy.y_train) for _ in range(8)]
            assert len({fit.result().curve_.loss[-1] for fit in fits}) == 1
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y[:-1]), "X has 67 cases and y 66 labels: give one label for each case"),
        (lambda x, y: (x, np.repeat("a", 67)), "y has only one class, .'a'.: give cases of two classes"),
        (lambda x, y: ([], []), "X has no cases: give at least one"),
        (lambda x, y: ([x[0], np.stack([x[1], x[1]])], y[:2]), "different numbers of channels"),
        (lambda x, y: (np.full((67, 1, 5), np.nan), y), "without any value"),
        (lambda x, y: (["text"] * 67, y), "X case 0 is not numeric"),
    ],
)
def test_data_that_is_not_possible(change: Any, message: str, italy: Dataset) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(*change(italy.x_train[:, 0], italy.y_train))


def test_another_number_of_channels_is_refused(italy: Dataset) -> None:
    classifier = small(epochs=1).fit(np.repeat(italy.x_train, 2, axis=1), italy.y_train)
    with pytest.raises(ValueError, match="X has 1 channels: give 2, as in training"):
        classifier.predict(italy.x_test)


def test_weights_that_are_not_possible(italy: Dataset) -> None:
    for weights, message in (
        (np.zeros(67), "at least one"),
        (-np.ones(67), "Negative"),
        (np.ones(3), "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            small().fit(italy.x_train[:, 0], italy.y_train, sample_weight=weights)

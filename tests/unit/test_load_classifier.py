"""Classifiers that are saved and loaded: the same predictions, and the files that are refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import tsfcn
from tests.factories import ITALY
from tsfcn import estimators
from tsfcn.common.errors import UserError
from tsfcn.estimators import CLASSES, FCNClassifier, NetworkClassifier, load_classifier
from tsfcn.models import weights

SMALL: dict[str, dict[str, Any]] = {
    "fcn": {"filters": (6, 5, 4)},
    "lstm_fcn": {"filters": (6, 5, 4), "cells": 3},
    "alstm_fcn": {"filters": (6, 5, 4), "cells": 3, "shuffle": False},
    "resnet": {"filters": (6, 5, 4)},
    "mlp": {"units": (6, 5, 4)},
    "inception": {"filters": 4, "depth": 3},
    "h_inception": {"filters": 4, "depth": 3},
    "lite": {"filters": 4},
    "encoder": {"filters": (6, 6), "kernels": (5, 3), "units": 4},
    "mlstm_fcn": {"filters": (6, 5, 4), "cells": 3},
    "malstm_fcn": {"filters": (6, 5, 4), "cells": 3, "shuffle": False},
}
ITALY_DATA = tsfcn.load(ITALY)


def fitted(model: str = "fcn", y: Any = None, **parameters: Any) -> NetworkClassifier:
    """Return a small classifier, fitted on ItalyPowerDemand in two epochs."""
    classifier = CLASSES[model](**{"epochs": 2, "random_state": 3, **SMALL[model], **parameters})
    return classifier.fit(ITALY_DATA.x_train, ITALY_DATA.y_train if y is None else y)


@pytest.mark.parametrize("model", SMALL)
def test_a_loaded_classifier_predicts_the_same_bits(model: str, tmp_path: Path) -> None:
    classifier = fitted(model)
    again = load_classifier(classifier.save(tmp_path / "a.safetensors"))
    assert type(again) is type(classifier) and again.get_params() == classifier.get_params()
    np.testing.assert_array_equal(again.predict_proba(ITALY_DATA.x_test), classifier.predict_proba(ITALY_DATA.x_test))
    assert again.settings_ == classifier.settings_ and again.curve_ == classifier.curve_
    assert (again.seed_, again.engine_, again.best_epoch_) == (3, classifier.engine_, classifier.best_epoch_)


@pytest.mark.parametrize(
    "parameters",
    [
        {"normalisation": "train"},
        {"normalisation": "none", "missing": "interpolate"},
        {"length": "mask", "engine": "reference"},
        {"precision": "float64", "engine": "reference"},
        {"protocol": "wang2017"},
    ],
)
def test_a_preparation_comes_back(parameters: dict[str, Any], tmp_path: Path) -> None:
    classifier = fitted(**parameters)
    again = load_classifier(classifier.save(tmp_path / "a.safetensors"))
    x = ITALY_DATA.x_test[:50].copy()
    x[3, 0, 5:9], x[7, 0, 12:], x[9] = np.nan, np.nan, 4.0
    np.testing.assert_array_equal(again.predict_proba(x), classifier.predict_proba(x))


@pytest.mark.parametrize(
    "names",
    [
        np.array([9, 10]),
        np.array(["9", "10"]),
        np.array([-1.0, 2.0]),
        np.array([False, True]),
        np.array(["line\nbreak", "-"], dtype=object),
    ],
    ids=["integers", "text", "floats", "truth values", "objects"],
)
def test_classes_keep_their_type(names: Any, tmp_path: Path) -> None:
    classifier = fitted(y=names[(ITALY_DATA.y_train == "2").astype(int)])
    again = load_classifier(classifier.save(tmp_path / "a.safetensors"))
    predicted = again.predict(ITALY_DATA.x_test)
    assert predicted.dtype == names.dtype and again.classes_.tolist() == classifier.classes_.tolist()
    np.testing.assert_array_equal(predicted, classifier.predict(ITALY_DATA.x_test))


def test_a_loaded_classifier_is_fitted_as_before(tmp_path: Path) -> None:
    classifier = fitted(class_weight={"1": 1.0, "2": 3.0}, betas=(0.8, 0.99))
    again = load_classifier(classifier.save(tmp_path / "a.safetensors"))
    again.fit(ITALY_DATA.x_train, ITALY_DATA.y_train)
    np.testing.assert_array_equal(again.predict_proba(ITALY_DATA.x_test), classifier.predict_proba(ITALY_DATA.x_test))


def test_a_table_keeps_its_width(tmp_path: Path) -> None:
    classifier = FCNClassifier(epochs=1, filters=(3, 3, 3)).fit(ITALY_DATA.x_train[:, 0], ITALY_DATA.y_train)
    again = load_classifier(classifier.save(tmp_path / "a.safetensors"))
    with pytest.raises(ValueError, match="23 features"):
        again.predict(ITALY_DATA.x_test[:, 0, :23])


def test_the_model_card_states_passport_accuracy_and_limits(tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "a.safetensors", passport=ITALY_DATA.passport, accuracy=0.875)
    card = path.with_suffix(".md").read_text()
    assert ITALY_DATA.passport["content"] in card and "| accuracy | 0.8750 of the test cases |" in card
    assert "## Intended use" in card and "## Limits" in card and "trained on 67 series" in card
    fitted().save(path)
    assert "| accuracy | not measured |" in path.with_suffix(".md").read_text()


def test_a_name_with_markup_does_not_change_the_model_card(tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "a.safetensors", passport={"name": "![x](http://host)|\n# y", "content": "<b>"})
    card = path.with_suffix(".md").read_text()
    assert "\\![x]\\(" in card and "\n# y" not in card and "<b>" not in card.replace("\\<b>", "")


def test_classes_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    dates = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    classifier = fitted()
    classifier.classes_ = dates
    with pytest.raises(UserError, match=r"^classes of type datetime64\[D\] cannot be saved: "):
        classifier.save(tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_the_fit_are_saved_and_not_later_ones(tmp_path: Path) -> None:
    classifier = fitted().set_params(filters=(8, 8, 8), epochs=9)
    again = load_classifier(classifier.save(tmp_path / "a.safetensors"))
    assert vars(again.config_)["filters"] == [6, 5, 4] and again.settings_.epochs == 2
    assert "fcn[filters=[6,5,4]]" in (tmp_path / "a.md").read_text()


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"epochs": np.int64(2), "lr": np.float32(0.01), "filters": tuple(np.array([6, 5, 4]))}
    again = load_classifier(fitted(**numbers).save(tmp_path / "a.safetensors"))
    assert again.get_params()["filters"] == (6, 5, 4)


def test_what_a_file_states_is_kept_when_it_is_saved_again(tmp_path: Path) -> None:
    first = fitted().save(tmp_path / "a.safetensors", passport=ITALY_DATA.passport, accuracy=0.75)
    again = load_classifier(first).save(tmp_path / "b.safetensors")
    assert again.with_suffix(".md").read_text() == first.with_suffix(".md").read_text().replace("a.saf", "b.saf")


def test_a_file_that_is_no_model_card_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"README.md' is there and is no model card, .*: choose another name"):
        fitted().save(tmp_path / "README.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_card_says_which_lengths_are_taken(tmp_path: Path) -> None:
    for model, sentence in (("fcn", "Series of any length are taken"), ("mlp", "Series of 24 timepoints are taken")):
        fitted(model).save(tmp_path / "a.safetensors")
        assert sentence in (tmp_path / "a.md").read_text()


def of_run(tmp_path: Path, **settings: Any) -> NetworkClassifier:
    """Return the classifier of a run on ItalyPowerDemand with missing values."""
    x = ITALY_DATA.x_train.copy()
    x[::3, 0, 15:] = np.nan
    data = {"own": (x, ITALY_DATA.y_train, ITALY_DATA.x_test[:9], ITALY_DATA.y_test[:9])}
    tsfcn.run(data, "fcn", "smoke", results=tmp_path, save_weights=True, executor="inline", **settings)
    (path,) = (tmp_path / "weights").glob("*.safetensors")
    return load_classifier(path)


def test_the_network_of_a_run_prepares_each_case_by_itself(tmp_path: Path) -> None:
    classifier = of_run(tmp_path, length="mask")
    cases = [case.copy() for case in ITALY_DATA.x_test[:2]]
    cases[0][0, 20:] = np.nan
    alone = classifier.predict_proba(cases)
    beside = classifier.predict_proba([*cases, ITALY_DATA.x_test[2][:, :18]])
    np.testing.assert_allclose(beside[:2], alone, rtol=0, atol=1e-6)


def test_the_network_of_a_run_is_fitted_as_any_classifier(tmp_path: Path) -> None:
    classifier = of_run(tmp_path)
    x = ITALY_DATA.x_train.copy()
    x[::2, 0, 15:] = np.nan
    fresh = FCNClassifier(**classifier.get_params()).set_params(length="mask").fit(x, ITALY_DATA.y_train)
    again = classifier.set_params(length="mask").fit(x, ITALY_DATA.y_train)
    np.testing.assert_array_equal(again.predict_proba(x), fresh.predict_proba(x))


def test_the_network_of_a_run_uses_shorter_cases_as_a_classifier_does(tmp_path: Path) -> None:
    tsfcn.run(ITALY, "fcn", "smoke", results=tmp_path, save_weights=True, executor="inline")
    (path,) = (tmp_path / "weights").glob("*.safetensors")
    ours = FCNClassifier(protocol="smoke", random_state=0).fit(ITALY_DATA.x_train, ITALY_DATA.y_train)
    short = ITALY_DATA.x_test[:20, :, :16]
    np.testing.assert_array_equal(load_classifier(path).predict_proba(short), ours.predict_proba(short))


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not named \.safetensors: call it 'a\.safetensors'"):
        fitted().save(tmp_path / "a.pkl")


# ---------------------------------------------------------------------------------------------------------------------
# Files that are refused


def contents(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the metadata and tensors of a file."""
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def edited(path: Path) -> None:
    metadata, tensors = contents(path)
    save_file(tensors, path, metadata={**metadata, "labels": metadata["labels"].replace('"1"', '"3"')})


def without_digest(path: Path) -> None:
    metadata, tensors = contents(path)
    save_file(tensors, path, metadata={name: text for name, text in metadata.items() if name != "digest"})


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    save_file({"w": torch.zeros(2)}, path)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(path.with_name("ran"))))


def saved_by_torch(path: Path) -> None:
    torch.save(Trap(path.with_name("ran")), path)


class Trap:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (truncated, "no whole safetensors file"),
        (damaged, "differ from the digest"),
        (edited, "differ from the digest"),
        (without_digest, "differ from the digest"),
        (foreign, "not of tsfcn"),
        (pickled, "a pickle can run code"),
        (saved_by_torch, "a pickle can run code"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(change: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "a.safetensors")
    change(path)
    with pytest.raises(UserError, match=message) as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preparation", '{"unequal": null}'),
        ("preparation", "[]"),
        ("preparation", "{"),
        ("labels", '{"dtype": "O", "values": [[], {}]}'),
        ("labels", '{"dtype": "V8", "values": ["1", "2"]}'),
        ("labels", '{"dtype": "<U1", "values": ["1"]}'),
        ("settings", '{"normalisation": "train"}'),
        ("n_timepoints", "none"),
        ("architecture", "gpt"),
        ("parameters", '{"callbacks_": 1}'),
        ("attributes", "[1]"),
        ("attributes", '{"training_lengths_": "x"}'),
        ("attributes", '{"curve_": 1}'),
        ("seed", "[]"),
    ],
)
def test_metadata_with_a_valid_digest_but_wrong_content_are_one_line(name: str, value: str, tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "a.safetensors")
    metadata, tensors = contents(path)
    path.write_bytes(weights.pack(tensors, {**metadata, name: value}))
    with pytest.raises(UserError) as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value)


def test_a_width_of_labels_that_no_text_needs_is_not_allocated(tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "a.safetensors")
    metadata, tensors = contents(path)
    path.write_bytes(weights.pack(tensors, {**metadata, "labels": '{"dtype": "<U100000000", "values": ["1", "2"]}'}))
    assert load_classifier(path).classes_.nbytes == 8


def test_weights_of_a_huge_network_are_refused_before_it_is_built(tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "a.safetensors")
    metadata, tensors = contents(path)
    preparation = json.loads(metadata["preparation"]) | {"n_channels": 10**10}
    changed = {"n_channels": str(10**10), "preparation": json.dumps(preparation)}
    path.write_bytes(weights.pack(tensors, metadata | changed))
    with pytest.raises(UserError, match="not those of the network"):
        load_classifier(path)


def without_preparation(path: Path) -> None:
    """Write a file as earlier versions did."""
    metadata, tensors = contents(path)
    later = ("digest", "preparation", "labels", "accuracy", "passport", "versions", "parameters", "attributes")
    save_file(tensors, path, metadata={name: text for name, text in metadata.items() if name not in later})


def test_a_file_of_an_earlier_version_loads_where_nothing_is_lacking(tmp_path: Path) -> None:
    classifier = fitted(normalisation="series")
    path = classifier.save(tmp_path / "a.safetensors")
    without_preparation(path)
    again = estimators.load_classifier(path)
    np.testing.assert_array_equal(again.predict_proba(ITALY_DATA.x_test), classifier.predict_proba(ITALY_DATA.x_test))


def test_a_file_of_an_earlier_version_without_its_statistics_is_refused(tmp_path: Path) -> None:
    path = fitted(normalisation="train").save(tmp_path / "a.safetensors")
    without_preparation(path)
    with pytest.raises(UserError, match=r"lack the mean and deviation of the training set .* train again"):
        load_classifier(path)

"""Classifiers in a file: a network with the preparation of its series, its classes, and where it comes from.

The file is that of `weights`, with more metadata: what the runner keeps (save_weights=true) and what `save` of an
estimator writes are of one form, and both are read by `tsfcn.load_classifier`, or by `tsfcn.load_labeller` if the
network labels timepoints.
"""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import tsfcn
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.common.json_types import is_dict, is_int, is_str
from tsfcn.config import models, user_files
from tsfcn.config.classifier import POLICIES, NetworkParameters, plain
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings, TrainingConfig
from tsfcn.config.segmentation import LABELLINGS
from tsfcn.data.preprocess import Preparation
from tsfcn.models import weights
from tsfcn.models.model_card import Card, is_card, model_card

PARAMETERS_NOT_KEPT = ("callbacks",)
ATTRIBUTES: dict[str, Callable[[object], bool]] = {
    "best_epoch_": is_int,
    "engine_": is_str,
    "n_features_in_": is_int,
    "feature_names_in_": lambda value: isinstance(value, list) and all(map(is_str, value)),
    "curve_": is_dict,
    "training_lengths_": lambda value: isinstance(value, list) and len(value) == 2 and all(map(is_int, value)),
}
"""The attributes of a fitted estimator that a file has, with the check of their JSON values."""
KINDS = "iufbU"  # of numpy, for classes: numbers, truth values, text


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedClassifier:
    """What a file of a classifier holds.

    Args:
        network: The network, in evaluation mode.
        architecture: The name of its registered model.
        config: The model's settings.
        settings: The protocol, resolved for the model.
        preparation: How series are prepared for the network.
        labels: (n_classes,) the classes in the order of the logits, of the type that `fit` got.
        seed: Of the training.
        cells: The hidden size of the LSTM; 0 without one.
        protocol: The label of the protocol, with what was changed in brackets.
        unequal: Whether NaN at the end of a case is its end; None: as the cases that are predicted show.
        accuracy: On test cases; None where it is not known.
        passport: Of the dataset; {} where it is not known.
        versions: Of the packages that trained it.
        job: The metadata that only a job of the runner has: key, dataset, model, resample and precision.
        parameters: Of the estimator's constructor; {} for a job of the runner.
        attributes: Of the fitted estimator, as far as they are no part of the above.
        task: Of a network that labels timepoints (task=segmentation): `labelling` and `window_step`; {}: it classifies.
    """

    network: nn.Module
    architecture: str
    config: ModelConfig
    settings: Settings
    preparation: Preparation
    labels: npt.NDArray[Any]
    seed: int
    cells: int
    protocol: str
    unequal: bool | None = None
    accuracy: float | None = None
    passport: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    job: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Return the content of the file. Raises UserError for classes and parameters that JSON cannot hold."""
        return weights.pack(self.network.state_dict(), self.metadata())

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the file, see `weights.load_network`; lists and mappings are JSON."""
        dtype = next(self.network.parameters()).dtype
        model_settings = {name: value for name, value in asdict(self.config).items() if name != "cells"}
        return {
            "key": "",
            "dataset": str(self.passport.get("name", "")),
            "model": self.architecture,
            "resample": "0",
            "precision": str(dtype).removeprefix("torch."),
            **self.job,
            "protocol": self.protocol,
            "seed": str(self.seed),
            "cells": str(self.cells),
            "classes": "\n".join(map(str, self.labels.tolist())),
            "labels": json.dumps(labels_to_json(self.labels)),
            "architecture": self.architecture,
            "model_settings": json.dumps(model_settings),
            "settings": json.dumps(self.settings.to_json()),
            "n_channels": str(self.preparation.n_channels),
            "n_timepoints": str(self.preparation.n_timepoints),
            "preparation": json.dumps({**preparation_to_json(self.preparation), "unequal": self.unequal}),
            "accuracy": json.dumps(self.accuracy),
            "passport": json.dumps(dict(self.passport)),
            "versions": json.dumps(dict(self.versions)),
            "parameters": json.dumps(parameters_to_json(self.parameters)),
            "attributes": json.dumps(dict(self.attributes)),
            "tsfcn": self.versions.get("tsfcn", ""),
            **({"task": json.dumps(dict(self.task))} if self.task else {}),
        }

    def takes(self) -> str:
        """Return which lengths of series the classifier takes: a key of LENGTHS of the model card."""
        if self.task:
            return "stream"
        if self.preparation.is_truncated:
            return "truncated"
        if not self.preparation.fixed_length:
            return "any"
        low, high = self.attributes.get("training_lengths_", (1, 0))
        return "only" if low == high else "at most" if low < high else "cut"

    @property
    def has_prepared_cases(self) -> bool:
        """Whether the training streams are of cases that were normalised each by itself, which no other stream is."""
        return bool(self.task) and self.settings.normalisation != self.preparation.normalisation

    def card(self, file_name: str) -> str:
        """Return the model card. file_name: of the file that it describes."""
        preparation = self.preparation
        return model_card(
            Card(
                file_name=file_name,
                model=self.job.get("model", self.architecture),
                protocol=self.protocol,
                settings=self.settings.to_json(),
                seed=self.seed,
                classes=[str(label) for label in self.labels.tolist()],
                n_channels=preparation.n_channels,
                n_timepoints=preparation.n_timepoints,
                takes=self.takes(),
                normalisation="cases" if self.has_prepared_cases else self.settings.normalisation,
                accuracy=self.accuracy,
                passport=self.passport,
                versions=self.versions,
                key=self.job.get("key", ""),
            )
        )


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that numbers may depend on."""
    return {
        "tsfcn": tsfcn.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


# ---------------------------------------------------------------------------------------------------------------------
# Write


class SavableClassifier(Protocol):
    """What is used of an estimator (tsfcn.estimators)."""

    architecture: Any
    config_: ModelConfig
    settings_: Settings
    labels_: tuple[str, str]
    preparation_: Preparation
    classes_: npt.NDArray[Any]
    network_: nn.Module
    seed_: int
    cells_: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor."""


def of_estimator(
    classifier: SavableClassifier,
    passport: Mapping[str, Any] | None,
    accuracy: float | None,
) -> SavedClassifier:
    """Return what the file of a fitted estimator holds.

    Args:
        classifier: The estimator.
        passport: Of the dataset that it is fitted on; None: that of the file from which it was loaded, if there is one.
        accuracy: On test cases; None: that of the file.
    """
    kept = vars(classifier)
    before = kept.get("saved_")
    order = np.argsort(kept["_order"])  # logits to classes_
    attributes = {name: _plain(kept[name]) for name in ATTRIBUTES if name in kept}
    if "curve_" in kept:
        attributes["curve_"] = asdict(kept["curve_"])
    return SavedClassifier(
        network=classifier.network_,
        architecture=classifier.architecture,
        config=classifier.config_,
        settings=classifier.settings_,
        preparation=classifier.preparation_,
        labels=classifier.classes_[order],
        seed=classifier.seed_,
        cells=classifier.cells_,
        protocol=classifier.labels_[1],
        unequal=kept.get("unequal_"),
        accuracy=before.accuracy if before is not None and accuracy is None else accuracy,
        passport=passport or (before.passport if before is not None else {}),
        versions=before.versions if before is not None else versions(),
        job=before.job if before is not None else {"model": classifier.labels_[0]},
        parameters=classifier.get_params(deep=False),
        attributes=attributes,
    )


def write(path: str | Path, saved: SavedClassifier) -> Path:
    """Write a classifier, its model card beside it (.md), and return the path.

    Raises UserError for another suffix than .safetensors, for a file in the place of the card that is no model card,
    for what cannot be written, and as `SavedClassifier.pack`.
    """
    place = Path(path).expanduser()
    if place.suffix != ".safetensors":
        raise UserError(f"file '{path}' is not named .safetensors: call it '{place.stem}.safetensors'")
    card_place = place.with_suffix(".md")
    if card_place.exists() and not is_card(card_place):
        raise UserError(f"file '{card_place}' is there and is no model card, whose place it has: choose another name")
    data, card = saved.pack(), saved.card(place.name)
    files.write_output(place, lambda file: file.write(data))
    files.write_output(card_place, lambda file: file.write(card.encode()))
    return place


def labels_to_json(labels: npt.NDArray[Any]) -> dict[str, Any]:
    """Return classes as JSON values with their type. Raises UserError for classes other than numbers and text."""
    values = labels.tolist()
    is_plain = labels.dtype.kind in KINDS or (
        labels.dtype.kind == "O" and all(isinstance(value, (str, int, float)) for value in values)
    )
    if not is_plain:
        kind = type(values[0]).__name__ if labels.dtype.kind == "O" else labels.dtype
        raise UserError(f"classes of type {kind} cannot be saved: fit with labels that are text or numbers")
    return {"dtype": labels.dtype.str, "values": values}


def labels_from_json(content: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return classes with their type. Raises ValueError for a type that `labels_to_json` does not write."""
    dtype = np.dtype(str(content["dtype"]))
    if dtype.kind not in f"{KINDS}O" or not all(isinstance(each, (str, int, float)) for each in content["values"]):
        raise ValueError(f"classes of type {dtype}")
    return np.array(content["values"], dtype=str if dtype.kind == "U" else dtype)  # as wide as the text needs


def preparation_to_json(preparation: Preparation) -> dict[str, Any]:
    """Return a preparation as JSON values; mean and deviation of the training set are lists, one value a channel."""
    content = {each.name: getattr(preparation, each.name) for each in fields(preparation)}
    return {name: value.ravel().tolist() if isinstance(value, np.ndarray) else value for name, value in content.items()}


def preparation_from_json(content: Mapping[str, Any]) -> Preparation:
    """Return the preparation that `preparation_to_json` has written. Raises TypeError or ValueError for others."""
    values = dict(content)
    for name in ("mean", "deviation"):
        if values[name] is not None:
            values[name] = np.array(values[name], dtype=np.float64).reshape(1, int(values["n_channels"]), 1)
    return Preparation(**values)


def parameters_to_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an estimator as JSON values. A RandomState and callbacks are left out.

    Raises UserError for a value of another type than numbers, text, sequences and a mapping of class weights.
    """
    content = {}
    for name, value in parameters.items():
        if name in PARAMETERS_NOT_KEPT or isinstance(value, np.random.RandomState):
            continue
        content[name] = _plain(value)
    try:
        json.dumps(content)
    except TypeError as error:
        raise UserError(f"a parameter of the classifier cannot be saved ({error}): use numbers and text") from error
    return content


def _plain(value: Any) -> Any:
    """Return a value of numpy as one of Python, and a mapping as a list of its pairs, since JSON has no other keys."""
    if isinstance(value, Mapping):
        return {"pairs": [[plain(key), plain(each)] for key, each in value.items()]}
    return plain(value)


def parameters_from_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that `parameters_to_json` has written."""
    return {
        name: dict(value["pairs"]) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
        for name, value in content.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# Read


def read_classifier(path: str | Path) -> SavedClassifier:
    """Return the classifier of a file that `write` or the runner has written.

    Raises:
        UserError: The file cannot be read, differs from its digest, or lacks what predicting raw series takes.
    """
    metadata, tensors = weights.read(path)
    if "architecture" not in metadata:
        raise UserError(f"weights '{path}' are not of tsfcn, which writes an architecture: give a file that it saved")
    with weights.metadata_errors(path):
        network, about = weights.network_of(metadata, tensors)
        settings = settings_from_json(about["settings"])
        known = "preparation" in metadata
        content = dict(json.loads(metadata["preparation"])) if known else _old_preparation(path, about, settings)
        unequal = content.pop("unequal")
        labels = _labels(metadata, about)
        return SavedClassifier(
            network=network,
            architecture=about["architecture"],
            config=models.spec(about["architecture"]).settings(**about["model_settings"]),
            settings=settings,
            preparation=preparation_from_json(content),
            labels=labels,
            seed=about["seed"],
            cells=about["cells"],
            protocol=about["protocol"],
            unequal=None if unequal is None else bool(unequal),
            accuracy=json.loads(metadata.get("accuracy", "null")),
            passport=json.loads(metadata.get("passport", "{}")),
            versions=json.loads(metadata.get("versions", "{}")),
            job={name: metadata[name] for name in ("key", "dataset", "model", "resample", "precision")},
            parameters=parameters_from_json(json.loads(metadata.get("parameters", "{}"))),
            attributes=checked_attributes(dict(json.loads(metadata.get("attributes", "{}")))),
            task=checked_task(dict(json.loads(metadata.get("task", "{}")))),
        )


def _labels(metadata: Mapping[str, str], about: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the classes of a file; text in a file of an earlier version. Raises ValueError unless all differ."""
    if "labels" not in metadata:
        return np.array(about["classes"])
    labels = labels_from_json(json.loads(metadata["labels"]))
    if len(set(labels.tolist())) != len(labels):
        raise ValueError("two classes have one label")
    return labels


def checked_attributes(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known attributes of an estimator. Raises ValueError for one of another type."""
    known = {name: content[name] for name in ATTRIBUTES if name in content}
    for name, value in known.items():
        if not ATTRIBUTES[name](value):
            raise ValueError(f"{name} is of another type")
    return known


def checked_task(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return how streams are labelled. Raises ValueError for what no version writes."""
    if content and (content["labelling"] not in LABELLINGS or not is_int(content["window_step"])):
        raise ValueError(f"streams are labelled by {content['labelling']}, every {content['window_step']}")
    return dict(content)


def settings_from_json(content: Mapping[str, Any]) -> Settings:
    """Return the settings of a protocol. Raises TypeError or UserError for others."""
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in content.items()}
    return Settings(**values)


def _old_preparation(path: str | Path, about: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the preparation of a file that was written before preparations were kept.

    Raises UserError where the statistics of the training set are needed, which such a file lacks.
    """
    if settings.normalisation == "train":
        raise UserError(
            f"weights '{path}' lack the mean and deviation of the training set (normalisation=train): train again with "
            "save_weights=true"
        )
    config = models.spec(about["architecture"]).settings(**about["model_settings"])
    return {
        **{name: getattr(settings, name) for name in ("normalisation", "missing", "length")},
        "fixed_length": config.fixed_length(),
        **{name: about[name] for name in ("n_channels", "n_timepoints")},
        "mean": None,
        "deviation": None,
        "unequal": None,
    }


def estimator_parameters(saved: SavedClassifier) -> dict[str, Any]:
    """Return the parameters of an estimator's constructor with which `fit` trains as the classifier was trained.

    A job of the runner has no parameters: all values of its protocol are given one by one, so that the protocol of a
    user, whose file may be elsewhere, is not needed. The engine is chosen anew.
    """
    if saved.parameters:
        return dict(saved.parameters)
    training = [each.name for each in fields(TrainingConfig) if each.name not in ("cells", "class_weights")]
    parameters = {name: getattr(saved.settings, name) for name in (*POLICIES, *training)}
    model = {name: value for name, value in asdict(saved.config).items() if name != "cells"}
    if saved.cells:
        model["cells"] = saved.cells
    balanced = saved.settings.class_weights == "balanced"
    protocol = saved.protocol.partition("[")[0]
    return {
        **parameters,
        **{name: tuple(value) if isinstance(value, list) else value for name, value in model.items()},
        "protocol": protocol if protocol in user_files.options("protocol", None) else NetworkParameters.protocol,
        "precision": saved.job["precision"],
        "class_weight": "balanced" if balanced else None,
        "random_state": saved.seed,
    }

"""The model card of a saved classifier: Markdown that says what it was trained on, what it is for, and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsfcn.common.escapes import printable
from tsfcn.common.files import open_regular
from tsfcn.common.text import escaped
from tsfcn.config.segmentation_models import STRIDE

CLASSES_SHOWN = 20
LENGTHS = {
    "any": "Series of any length are taken; those far from the training length were not tested.",
    "cut": "Longer series are cut to {n_timepoints} timepoints, shorter ones end in zeros.",
    "at most": "Series of at most {n_timepoints} timepoints are taken; shorter ones end in zeros.",
    "only": "Series of {n_timepoints} timepoints are taken, and no others.",
    "truncated": "Only the first {n_timepoints} timepoints of a series are used.",
    "stream": f"Streams of at least {STRIDE} timepoints are taken.",
}
LOADING = "tsfcn.load_classifier("  # in every card of a classifier
LONGEST_CARD = 2**20  # bytes
PASSPORT = ("archive", "revision", "split", "source", "n_train", "n_test", "n_duplicates", "content")
NORMALISATION = {
    "none": "Series are used as they are, without normalisation.",
    "series": "Each series is scaled to mean 0 and deviation 1, so its level and scale have no effect.",
    "train": "Series are scaled by the mean and deviation of the training set.",
    "cases": "Streams are used as they are. Those of training consist of cases that have mean 0 and deviation 1 each.",
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model card states.

    Args:
        file_name: Of the classifier.
        model: The label of the model.
        protocol: The label of the protocol.
        settings: The resolved protocol.
        seed: Of the training.
        classes: The classes as text.
        n_channels: Of a series.
        n_timepoints: Of the training series.
        takes: Which lengths of series it takes, a key of LENGTHS; `stream`: it labels timepoints.
        normalisation: A key of NORMALISATION.
        accuracy: On test cases; None where it is not known.
        passport: Of the dataset; {} where it is not known.
        versions: Of the packages that trained it.
        key: Of the record in the results folder; '' without one.
    """

    file_name: str
    model: str
    protocol: str
    settings: Mapping[str, Any]
    seed: int
    classes: Sequence[str]
    n_channels: int
    n_timepoints: int
    takes: str
    normalisation: str
    accuracy: float | None
    passport: Mapping[str, Any]
    versions: Mapping[str, str]
    key: str


def model_card(card: Card) -> str:
    """Return the model card as Markdown."""
    dataset = str(card.passport.get("name", ""))
    sections = [
        f"# {_text(card.model)}{' on ' + _text(dataset) if dataset else ''}",
        _facts(card),
        "## Dataset\n\n" + _dataset(card),
        "## Protocol\n\n" + _table(card.settings),
        "## Intended use\n\n" + _intended_use(card),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits(card)),
    ]
    return "\n\n".join(sections) + "\n"


def is_card(path: Path) -> bool:
    """Return whether a file is a model card."""
    with open_regular(path) as file:
        return LOADING.encode() in file.read(LONGEST_CARD)


def _facts(card: Card) -> str:
    """Return the table at the top of the card."""
    n_classes = len(card.classes)
    shown = ", ".join(map(_text, card.classes[:CLASSES_SHOWN])) + (", ..." if n_classes > CLASSES_SHOWN else "")
    facts = {
        "file": card.file_name,
        "protocol": card.protocol,
        "seed": card.seed,
        "record": card.key,
        "versions": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
    }
    unit = "timepoints" if card.takes == "stream" else "cases"
    accuracy = "not measured" if card.accuracy is None else f"{card.accuracy:.4f} of the test {unit}"
    rows = _table({name: value for name, value in facts.items() if value != ""})
    return f"{rows}\n| classes | {n_classes}: {shown} |\n| accuracy | {accuracy} |"


def _table(values: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {_text(name)} | {_text(value)} |" for name, value in values.items())
    return f"| | |\n| --- | --- |\n{rows}"


def _text(value: object) -> str:
    """Return a value as text of Markdown: names may come from strangers."""
    return escaped(printable(str(list(value) if isinstance(value, tuple) else value)))


def _dataset(card: Card) -> str:
    """Return what identifies the training data."""
    known = {name: card.passport[name] for name in PASSPORT if name in card.passport}
    return _table(known) if known else "Not stated: save(PATH, passport=...) of the classifier states it."


def _intended_use(card: Card) -> str:
    """Return what the classifier is for, and how it is used."""
    channels = "one channel" if card.n_channels == 1 else f"{card.n_channels} channels"
    if card.takes == "stream":
        return (
            f"Label each timepoint of streams of {channels} that were recorded as the training streams. Give raw "
            "streams, the file holds their preparation:\n\n"
            f"    tsfcn predict {printable(card.file_name)} FILE\n"
            f'    tsfcn.load_labeller("{printable(card.file_name)}").predict([x])'
        )
    return (
        f"Classify series of {channels} and about {card.n_timepoints} timepoints that were recorded and cut as the "
        "training series. Give raw series, the file holds their preparation:\n\n"
        f"    tsfcn predict {printable(card.file_name)} FILE\n"
        f'    {LOADING}"{printable(card.file_name)}").predict(X)'
    )


def limits(card: Card) -> list[str]:
    """Return sentences on what the classifier cannot do."""
    unit = "timepoint" if card.takes == "stream" else "series"
    sentences = [
        f"Every {unit} gets one of the classes, also a {unit} of none of them.",
        "The probabilities are not calibrated.",
        "This is one training with one seed; other seeds give other accuracies (see the table of the results folder).",
        NORMALISATION[card.normalisation],
        LENGTHS[card.takes].format(n_timepoints=card.n_timepoints),
    ]
    if "permute_time" in card.settings:
        sentences.append("The timepoints of every series are permuted before it is classified, as in training.")
    if "n_train" in card.passport:
        sentences.insert(0, f"It was trained on {card.passport['n_train']} series.")
    if card.settings["select"] == "test_oracle":
        sentences.insert(0, "The weights were selected on the test set: the accuracy is an upper bound, no estimate.")
    return sentences

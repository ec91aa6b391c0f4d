"""`tsfcn predict MODEL FILE [--out CSV]`: the classes of series in a file, or of timepoints, by a saved network."""

from __future__ import annotations

import csv
import io
import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsfcn.common import exit_codes, files
from tsfcn.common.arguments import Parser, expand_home, path
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.text import counted, listed, spreadsheet_text
from tsfcn.data import formats
from tsfcn.data.dataset import shown
from tsfcn.data.formats import Columns, LabelUse, Split
from tsfcn.jobs import artifacts, store

if TYPE_CHECKING:
    from tsfcn.data.streams import Table
    from tsfcn.estimators import NetworkClassifier
    from tsfcn.training.labeller import StreamLabeller

KEY = re.compile(r"[0-9a-f]{4,16}")
OPTION = re.compile(r"(label|columns\.(?:case|time|value|dimension))=(.+)")
DIGITS = 6  # of a probability


def main(argv: Sequence[str] | None = None) -> int:
    """Predict, write the CSV and print the accuracy. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn predict",
        description="Write the probability of each class and the most probable class for every series of a file, as "
        "CSV, or of every timepoint, if the network labels streams. With labels in the file, the accuracy is printed "
        "too.",
    )
    parser.add_argument(
        "words",
        type=expand_home,
        nargs="+",
        metavar="MODEL FILE [label=NAME] [columns.case=NAME]",
        help="MODEL: a saved classifier (.safetensors), or RESULTS/KEY, or RESULTS KEY, of a run with "
        "save_weights=true; a key may be shortened. FILE: .tsv, .csv, .txt, .ts, .arff, .npz, .npy or .parquet; "
        "of streams .csv or .npz",
    )
    parser.add_argument("--out", type=path, metavar="CSV", help="file for the predictions, instead of standard output")
    parser.add_argument("--no-labels", action="store_true", help="the file has no labels, not even as first column")
    options = parser.parse_args(argv)
    columns, words = split_options(options.words)
    if len(words) not in (2, 3):
        raise UserError(
            f"'{' '.join(words)}' is not MODEL FILE: give a saved classifier and a file of series, see --help"
        )
    model, file = model_path(words[:-1]), Path(words[-1])
    check_output(options.out, [model, file])
    predict(model, file, columns, "absent" if options.no_labels else "optional", options.out)
    return exit_codes.OK


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def split_options(words: Sequence[str]) -> tuple[Columns, list[str]]:
    """Return the names of columns, of words as label=NAME, and the other words."""
    matches = [match for word in words if (match := OPTION.fullmatch(word)) is not None]
    names = {match[1].removeprefix("columns."): match[2] for match in matches}
    others = [word for word in words if not OPTION.fullmatch(word)]
    for word in others:
        if "=" in word and not Path(word).exists():
            raise UserError(f"'{word}' is not an option: use label=NAME, columns.case=NAME (or time, value, dimension)")
    return Columns(**names), others


def model_path(words: Sequence[str]) -> Path:
    """Return the file of a classifier: its path, RESULTS/KEY, or RESULTS and KEY. Raises UserError if there is none."""
    if len(words) == 2:
        return kept_weights(Path(words[0]), words[1])
    place = Path(words[0])
    if place.is_file() or not KEY.fullmatch(place.name) or not place.parent.is_dir():
        if place.is_dir():
            raise UserError(f"'{place}' is a folder: give {place}/KEY, with a key of `tsfcn results status --jobs`")
        return place
    return kept_weights(place.parent, place.name)


def kept_weights(results: Path, start: str) -> Path:
    """Return the weights of the one job whose key begins with `start`. Raises UserError without them."""
    start = start.lower()
    if not KEY.fullmatch(start):
        raise UserError(f"key '{start}' is not one: give 4 to 16 hexadecimal digits")
    if not results.is_dir():
        raise UserError(f"results folder '{results}' does not exist: give the one of the run")
    folder = artifacts.weights_path(results, start).parent
    found = [
        each for each in files.regular_files(folder) if each.suffix == ".safetensors" and each.stem.startswith(start)
    ]
    if len(found) > 1:
        raise UserError(f"key '{start}' is the beginning of {len(found)} keys: give more of it")
    if not found:
        for record in store.read(results):
            if record.is_ensemble and record.key.startswith(start):
                raise UserError(f"key '{start}' is of an ensemble, which has no weights: give the key of a member")
        raise UserError(f"key '{start}' has no weights in '{folder}': run the job again with save_weights=true")
    return found[0]


def check_output(out: Path | None, inputs: Sequence[Path]) -> None:
    """Raise UserError for an output that is one of the inputs."""
    if out is not None and any(out.resolve() == each.resolve() for each in inputs):
        raise UserError(f"--out {out} is the file that is read: give another name")


# ---------------------------------------------------------------------------------------------------------------------
# Prediction


def predict(model: Path, file: Path, columns: Columns, use: LabelUse, out: Path | None) -> None:
    """Predict the series of a file, write the CSV, and print the accuracy where there are labels.

    Args:
        model: The file of the classifier.
        file: The file of the series.
        columns: The names of columns that the user gives.
        use: Whether the file has labels.
        out: The CSV; None: standard output, and everything else on standard error.
    """
    from tsfcn.estimators import load_classifier
    from tsfcn.models.saved_classifier import read_classifier
    from tsfcn.training.labeller import labeller_of

    saved = read_classifier(model)
    check_file(file)
    if saved.task:
        label_streams(labeller_of(saved, model), file, columns, use, out)
        return
    classifier = load_classifier(model)
    split = read_cases(file, columns, use)
    labels = split.labels if split.labels[0] else None
    if labels is not None:
        check_labels(file, labels, classifier)
    try:
        with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
            probabilities = classifier.predict_proba(classifier_input(classifier, split))
    except ValueError as error:
        raise UserError(f"file '{file}' does not fit the classifier: {first_line(error)}") from error
    notices = [*split.notices, *length_notice(classifier, split), *(str(each.message) for each in caught)]
    predicted = class_texts(classifier)[probabilities.argmax(axis=1)]
    index = {"case": range(len(predicted))}
    text = csv_text(index, class_texts(classifier).tolist(), probabilities, predicted, labels)
    write(text, out, [*notices, *summary(len(predicted), predicted, labels, out)])


def write(text: str, out: Path | None, notes: Sequence[str]) -> None:
    """Write the CSV, to standard output without `out`, and print notes where they do not disturb it."""
    if out is None:
        exit_codes.show(text.rstrip("\n"))
    else:
        files.write_output(out, lambda handle: handle.write(text.encode()))
    for line in notes:
        print(line, file=sys.stderr if out is None else sys.stdout)


def check_file(file: Path) -> None:
    """Raise UserError for a file of no known format, or one that is not there."""
    if formats.suffix_of(file) not in formats.SUFFIXES:
        known = ", ".join(each for each in formats.SUFFIXES if each and not each.endswith(".gz"))
        raise UserError(f"file '{file}' is of a format that is not read: write one of {known}")
    if not file.exists():
        raise UserError(f"file '{file}' does not exist: give a file of series")


def read_cases(file: Path, columns: Columns, use: LabelUse) -> Split:
    """Return the cases of a file. Raises UserError for what its reader found wrong."""
    split = formats.read(file, columns, use)
    for fault in split.faults:
        raise UserError(fault)
    return split


def class_texts(classifier: NetworkClassifier) -> np.ndarray:
    """Return the classes as files write them, (n_classes,)."""
    return np.array([formats.canonical_label(str(label)) for label in classifier.classes_.tolist()])


def check_labels(file: Path, labels: Sequence[str], classifier: NetworkClassifier) -> None:
    """Raise UserError where most labels of a file are no classes of the classifier: they may be values."""
    known = set(class_texts(classifier).tolist())
    unknown = [label for label in labels if label not in known]
    if 2 * len(unknown) > len(labels):
        classes = ", ".join(shown(label) for label in sorted(known)[:5]) + (", ..." if len(known) > 5 else "")
        raise UserError(
            f"file '{file}' has labels that are no classes of the classifier, as {shown(unknown[0])!r} (classes: "
            f"{classes}): give --no-labels if it has none, or name their column with label=NAME"
        )


def classifier_input(classifier: NetworkClassifier, split: Split) -> Any:
    """Return the cases of a file as `predict` takes them: a table where the classifier was fitted on one.

    Columns that have names, in training and in the file, are matched by them. Raises ValueError for cases that such a
    table cannot hold.
    """
    width = getattr(classifier, "n_features_in_", None)
    if width is None:
        return split.cases
    if any(case.shape != (1, width) for case in split.cases):
        odd = next(case.shape for case in split.cases if case.shape != (1, width))
        raise ValueError(f"it has a series of {odd[0]} x {odd[1]} values: give {width} timepoints of one channel")
    values = np.concatenate(split.cases)
    names = getattr(classifier, "feature_names_in_", None)
    if names is None:
        return values
    import pandas as pd

    if not split.names:  # in the order of training
        return pd.DataFrame(values, columns=names)
    frame = pd.DataFrame(values, columns=list(split.names))
    lacking = [name for name in names if name not in frame]
    if lacking:
        raise ValueError(
            f"it lacks column {shown(lacking[0])!r}, of which the classifier has learned: name columns alike"
        )
    return frame[list(names)]


def length_notice(classifier: NetworkClassifier, split: Split) -> list[str]:
    """Return a sentence if no series is as long as those of training, which may be a mistake."""
    lengths = set(classifier.preparation_.truncated(np.array([case.shape[1] for case in split.cases])).tolist())
    low, high = classifier.training_lengths_
    low, high = (low, high) if high < sys.maxsize else (classifier.preparation_.n_timepoints,) * 2
    if any(low <= length <= high for length in lengths):
        return []
    given, trained = (f"{a}" if a == b else f"{a} to {b}" for a, b in ((min(lengths), max(lengths)), (low, high)))
    return [f"the series have {given} timepoints, those of training had {trained}"]


def summary(n_cases: int, predicted: np.ndarray, labels: Sequence[str] | None, out: Path | None) -> list[str]:
    """Return the lines below the predictions.

    Args:
        n_cases: The number of cases.
        predicted: (n_cases,) the predicted classes.
        labels: The true ones, None without labels.
        out: The CSV, None for standard output.
    """
    lines = [] if out is None else [f"{out}: predictions of {n_cases} cases"]
    if labels is not None:
        n_right = int((predicted == np.array(labels)).sum())
        lines.append(f"accuracy {n_right / n_cases:.4f} ({n_right} of {n_cases} cases)")
    return lines


def csv_text(
    index: Mapping[str, Iterable[object]],
    classes: Sequence[str],
    probabilities: np.ndarray,
    predicted: np.ndarray,
    labels: Sequence[str] | None,
) -> str:
    """Return the CSV: the index, label where there are labels, predicted, and a probability for each class.

    Args:
        index: The columns that say which case or timepoint a row is of.
        classes: The classes.
        probabilities: (n_rows, n_classes).
        predicted: (n_rows,) the most probable class of each.
        labels: (n_rows,) the true classes, None without labels.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    known = [] if labels is None else ["label"]
    writer.writerow([*index, *known, "predicted", *(f"probability_{label}" for label in classes)])
    texts = [predicted.tolist()] if labels is None else [labels, predicted.tolist()]
    rows = zip(zip(*index.values(), strict=True), zip(*texts, strict=True), probabilities.tolist(), strict=True)
    for places, names, row in rows:
        writer.writerow([*places, *map(spreadsheet_text, names), *(f"{value:.{DIGITS}f}" for value in row)])
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# Streams


def label_streams(labeller: StreamLabeller, file: Path, columns: Columns, use: LabelUse, out: Path | None) -> None:
    """Label the timepoints of a file, write the CSV, and print the metrics where there are labels.

    Args: as for `predict`; labeller: the network.
    """
    from tsfcn.data import streams

    if columns != Columns(label=columns.label):
        raise UserError("columns.case, time, value and dimension are for series, not for streams: leave them out")
    table = streams.read_file(file, columns.label, use)
    check_classes(file, table, labeller)
    values = channels_of(file, table, labeller)
    bounds = streams.bounds(table)
    streams.check_lengths(f"file '{file}'", (stop - start for _, _, start, stop in bounds))
    parts = labeller.predict_proba([values[start:stop].T for _, _, start, stop in bounds])
    probabilities = np.concatenate(parts)
    places = probabilities.argmax(axis=1)
    has_labels = bool((table.labels != "").any())
    index: dict[str, Iterable[object]] = {
        "stream": [spreadsheet_text(name or str(n)) for n, (_, name, a, b) in enumerate(bounds) for _ in range(a, b)],
        "timepoint": [t for _, _, start, stop in bounds for t in range(stop - start)],
    }
    predicted, labels = labeller.classes_[places], table.labels.tolist() if has_labels else None
    text = csv_text(index, labeller.classes_.tolist(), probabilities, predicted, labels)
    notes = [f"{out}: labels of {len(places)} timepoints of {counted(len(bounds), 'stream')}"] if out else []
    if labeller.saved_.has_prepared_cases:
        notes.append("values are used as they are; each case of the training streams had mean 0 and deviation 1")
    write(text, out, [*notes, *metrics(labeller, table, places)])


def check_classes(file: Path, table: Table, labeller: StreamLabeller) -> None:
    """Raise UserError for a label of a file that is no class of the labeller."""
    known = labeller.classes_.tolist()
    for label in table.labels.tolist():
        if label and label not in known:
            raise UserError(
                f"file '{file}' has the label {shown(label)!r}, which is none of the classes ({listed(known, 5)}): "
                "correct it, or leave it empty; give --no-labels if the column has values"
            )


def channels_of(file: Path, table: Table, labeller: StreamLabeller) -> np.ndarray:
    """Return the values of a file in the order of the training channels, (n_timepoints, n_channels).

    Channels are found by their names if both files name them; a single one may have another name in a file with no
    other. Raises UserError where channels are missing.
    """
    n_channels = labeller.saved_.preparation.n_channels
    names = [name for name in labeller.saved_.passport.get("channels", "").split("\n") if name]
    if max(n_channels, len(table.channels)) > 1 and len(names) == n_channels and table.channels:
        lacking = [name for name in names if name not in table.channels]
        if lacking:
            raise UserError(
                f"file '{file}' lacks column {shown(lacking[0])!r}, a channel of the training streams: add it"
            )
        return table.values[:, [table.channels.index(name) for name in names]]
    if table.values.shape[1] != n_channels:
        channels = counted(table.values.shape[1], "channel")
        raise UserError(f"file '{file}' has streams of {channels}: give {n_channels}, as in training")
    return table.values


def metrics(labeller: StreamLabeller, table: Table, places: np.ndarray) -> list[str]:
    """Return the metrics over the timepoints with a label, a line for each split that the file names; [] without any.

    places: (n_timepoints,), predicted classes.
    """
    from tsfcn.training import segmentation

    position = {label: place for place, label in enumerate(labeller.classes_.tolist())}
    lines = []
    for split in dict.fromkeys(table.splits.tolist()):
        known = (table.labels != "") & (table.splits == split)
        if not known.any():
            continue
        true = np.array([position[label] for label in table.labels[known].tolist()])
        scores = segmentation.metrics(true, places[known], len(position))
        n_right = int((true == places[known]).sum())
        lines.append(
            f"{split + ': ' if split else ''}accuracy {scores.accuracy:.4f} ({n_right} of {len(true)} timepoints), "
            f"mean IU {scores.mean_iu:.4f}, frequency-weighted IU {scores.frequency_weighted_iu:.4f}"
        )
    return lines

"""What a job leaves beside its record: predictions, weights, the state of a training in progress."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import numpy as np

from tsfcn.common import npz
from tsfcn.common.files import open_regular, replace

MAX_PREDICTION_BYTES = 256_000_000  # unpacked: 12 million test cases of 10 classes
LABEL_BYTES = 1 << 16  # that the label of a class may take in them


class FolderUnusable(OSError):
    """A file of the results folder cannot be written: no fault of the job, and the next one would fail likewise."""


@contextlib.contextmanager
def folder_errors(path: Path) -> Iterator[None]:
    """Raise any OSError within as FolderUnusable."""
    try:
        yield
    except OSError as error:
        raise FolderUnusable(error.errno, error.strerror or str(error), str(path)) from error


def predictions_path(results: Path, key: str) -> Path:
    """Return where the predictions of a job lie."""
    return results / "predictions" / f"{key}.npz"


def weights_path(results: Path, key: str) -> Path:
    """Return where the weights of a job lie."""
    return results / "weights" / f"{key}.safetensors"


def card_path(results: Path, key: str) -> Path:
    """Return where the model card of these weights lies."""
    return weights_path(results, key).with_suffix(".md")


def checkpoint_path(results: Path, key: str) -> Path:
    """Return where the state of a training in progress lies."""
    return results / "checkpoints" / f"{key}.pt"


def remove_checkpoint(results: Path, key: str) -> None:
    """Remove the state of a training, with what a kill in the middle of writing it has left."""
    path = checkpoint_path(results, key)
    path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # the folder: another run has ended and removed it
        for part in path.parent.glob(f".{path.name}.*"):
            part.unlink(missing_ok=True)


def remove_old_checkpoints(results: Path, done: Container[str]) -> None:
    """Remove the states of trainings that are done, at the end of a run, and the folder unless others are in it.

    A worker that is killed after it has written its record, and before it has removed the state, leaves the state.

    Args:
        results: The results folder.
        done: The keys of the jobs that are done.
    """
    with contextlib.suppress(OSError):
        for path in list((results / "checkpoints").glob("*.pt")):
            if path.stem in done:
                remove_checkpoint(results, path.stem)
        (results / "checkpoints").rmdir()


def write_predictions(
    results: Path,
    key: str,
    probabilities: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    classes: np.ndarray,
    *,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Store class probabilities (n_test, n_classes) as float16 beside the true and the predicted class (n_test,).

    Predicted classes are stored because two probabilities may become equal in float16. held_out: the probabilities and
    true classes of the training cases that the training held out, on which a temperature can be fitted.
    """
    arrays = {
        "probabilities": probabilities.astype(np.float16),
        "y_true": y_true.astype(np.int16),
        "y_pred": y_pred.astype(np.int16),
        "classes": classes,
    }
    if held_out is not None:
        arrays |= {"held_out_probabilities": held_out[0].astype(np.float16), "held_out_y": held_out[1].astype(np.int16)}
    path = predictions_path(results, key)
    with folder_errors(path):
        replace(path, lambda file: npz.write(file, arrays, compress=True))


def read_predictions(
    results: Path, key: str, n_test: int | None, n_classes: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities (n_test, n_classes), true and predicted class (n_test,) of a job.

    Arguments and errors as for `stored_predictions`.
    """
    with stored_predictions(results, key, n_test, n_classes) as stored:
        return stored["probabilities"], stored["y_true"], stored["y_pred"]


def read_classes(results: Path, key: str, n_test: int | None, n_classes: int | None) -> list[str]:
    """Return the labels of the classes in the predictions of a job; arguments and errors as `stored_predictions`."""
    with stored_predictions(results, key, n_test, n_classes) as stored:
        return [str(label) for label in stored["classes"]]


def read_held_out(
    results: Path, key: str, n_cases: int | None, n_classes: int | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the probabilities (n_held_out, n_classes) and classes (n_held_out,) of a job's held-out cases, if any.

    Arguments and errors as for `stored_predictions`.
    """
    with stored_predictions(results, key, n_cases, n_classes) as stored:
        if "held_out_y" not in stored:
            return None
        return stored["held_out_probabilities"], stored["held_out_y"]


@contextlib.contextmanager
def stored_predictions(
    results: Path,
    key: str,
    n_test: int | None,
    n_classes: int | None,
) -> Iterator[Mapping[str, np.ndarray]]:
    """Open the predictions of a job: the arrays of `write_predictions` by name.

    Args:
        results: The results folder.
        key: The job.
        n_test: The number of test cases (and held-out ones) in its record, which limits what is unpacked; None if it
            has none.
        n_classes: The number of classes, likewise.

    Raises:
        FileNotFoundError: There are no predictions.
        Exception: The file is damaged, not a regular one, or unpacks to more than the record allows: numpy and zipfile
            raise errors of many kinds.
    """
    with open_regular(predictions_path(results, key)) as file:
        with zipfile.ZipFile(file) as zipped:
            n_bytes = sum(entry.file_size for entry in zipped.infolist())
        if n_bytes > max_prediction_bytes(n_test, n_classes):
            raise ValueError(f"it unpacks to {n_bytes} bytes")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            yield stored


def max_prediction_bytes(n_test: int | None, n_classes: int | None) -> int:
    """Return the limit on the unpacked bytes of predictions; None: not known."""
    if n_test is None or n_classes is None:
        return MAX_PREDICTION_BYTES
    return min(n_test * (n_classes * 8 + 16) + (n_classes + 1) * LABEL_BYTES, MAX_PREDICTION_BYTES)


def write_file(path: Path, data: bytes) -> None:
    """Store the bytes of a file of the results folder."""
    with folder_errors(path):
        replace(path, lambda file: file.write(data))


def write_weights(results: Path, key: str, data: bytes) -> None:
    """Store the bytes of a safetensors file."""
    write_file(weights_path(results, key), data)


def write_card(results: Path, key: str, text: str) -> None:
    """Store the model card of a job's weights."""
    write_file(card_path(results, key), text.encode())

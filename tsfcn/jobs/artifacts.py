"""What a job leaves beside its record: predictions, weights, the state of a training in progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tsfcn.common.files import replace


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


def remove_empty_folder(results: Path) -> None:
    """Remove the folder of checkpoints at the end of a run, unless others are in it."""
    with contextlib.suppress(OSError):
        (results / "checkpoints").rmdir()


def write_predictions(
    results: Path, key: str, probabilities: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, classes: np.ndarray
) -> None:
    """Store class probabilities (n_test, n_classes) as float16 beside the true and the predicted class (n_test,).

    Predicted classes are stored because two probabilities may become equal in float16.
    """
    arrays = {
        "probabilities": probabilities.astype(np.float16),
        "y_true": y_true.astype(np.int16),
        "y_pred": y_pred.astype(np.int16),
        "classes": classes,
    }
    path = predictions_path(results, key)
    with folder_errors(path):
        replace(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_weights(results: Path, key: str, data: bytes) -> None:
    """Store the bytes of a safetensors file."""
    path = weights_path(results, key)
    with folder_errors(path):
        replace(path, lambda file: file.write(data))

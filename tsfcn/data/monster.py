"""Datasets of MONSTER, a repository of large time series, by the loader of aeon.

MONSTER (Dempster and others 2025, arXiv:2502.15122) has five folds of test cases for each dataset, and lies where
aeon's `load_monster_dataset` finds it. A dataset is kept in the archive's folder as one of the user's own: there is no
record of its sizes and contents to check it against. It was not tried against the real repository, only against a local
server with the same addresses.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.common import npz
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.escapes import printable
from tsfcn.data import importer
from tsfcn.data.catalogue import BY_FILE, MONSTER
from tsfcn.data.importer import Incoming
from tsfcn.data.safe_zip import CHUNK_BYTES
from tsfcn.data.splits import stratified_holdout

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
N_FOLDS = 5
SEED = 0  # of the draw of training cases


def dataset_name(name: str, fold: int, n_cases: int | None) -> str:
    """Return what a dataset is called in the archive: another fold or fewer cases make it another dataset.

    >>> dataset_name("Pedestrian", 0, None), dataset_name("Pedestrian", 1, 1000)
    ('Pedestrian', 'Pedestrian-fold1-1000')
    """
    return name + (f"-fold{fold}" if fold else "") + (f"-{n_cases}" if n_cases else "")


def fetch(
    name: str,
    root: Path,
    fold: int = 0,
    n_cases: int | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> bool:
    """Put a dataset of MONSTER into the archive as ROOT/NAME, and return whether it was not there before.

    Args:
        name: Of the dataset, without 'monster:'; the name in the archive is `dataset_name`.
        root: The archive.
        fold: Which of the folds holds the test cases; the other cases are for training.
        n_cases: About how many training cases are drawn, with as large a share of each class and one of each at least,
            always the same; None: all. The test cases are all those of the fold.
        notify: Receives a line when another process prepares the same dataset.

    Raises:
        UserError: For a name, fold or number that cannot be; without aeon or the network; and for data that is none.
    """
    if not NAME.fullmatch(name) or name.lower() in BY_FILE:
        raise UserError(f"dataset '{MONSTER}{printable(name)[:40]}' is not a name of MONSTER: write monster:Pedestrian")
    if not 0 <= fold < N_FOLDS:
        raise UserError(f"--fold {fold} is out of range: use 0 to {N_FOLDS - 1}")
    if n_cases is not None and n_cases < 1:
        raise UserError(f"--cases {n_cases} is out of range: use 1 or more")
    kept = dataset_name(name, fold, n_cases)
    if importer.is_present(kept, root):
        return False
    with Incoming(kept, root, notify) as place:
        if importer.is_present(kept, root):  # prepared by another process while this one waited
            return False
        x_train, y_train, x_test, y_test = _load(name, fold)
        if n_cases is not None and n_cases < len(y_train):
            chosen = stratified_holdout(y_train, n_cases / len(y_train), SEED)[1]
            x_train, y_train = x_train[chosen], y_train[chosen]
        importer.check_free_space(root, x_train.nbytes + x_test.nbytes)
        files = {f"{kept}_TRAIN.npz": _content(x_train, y_train), f"{kept}_TEST.npz": _content(x_test, y_test)}
        place.install(files, f"{MONSTER}{name}")
    return True


def _load(name: str, fold: int) -> tuple[Any, Any, Any, Any]:
    """Return x_train, y_train, x_test and y_test as aeon gives them. Raises UserError where it does not."""
    subject = f"dataset '{MONSTER}{name}'"
    try:
        from aeon.datasets import load_monster_dataset

        x_train, y_train, x_test, y_test = load_monster_dataset(name, fold=fold)
    except ModuleNotFoundError as error:
        missing = error.name or "huggingface_hub"  # of which aeon says that it is missing
        raise UserError(
            f"{subject} needs {missing}, which is not installed: pip install aeon huggingface_hub"
        ) from error
    except Exception as error:  # of aeon, of the library below it, or of the connection below that
        reason = printable(first_line(error))[:200]
        raise UserError(
            f"{subject} cannot be had by aeon ({type(error).__name__}: {reason}): "
            "correct the name, or try again with a connection to huggingface.co"
        ) from error
    return x_train, y_train, x_test, y_test


def _content(x: np.ndarray, y: np.ndarray) -> Iterator[bytes]:
    """Yield the bytes of a .npz file of a split."""
    with tempfile.TemporaryFile() as file:
        npz.write(file, {"X": x, "y": y})
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk

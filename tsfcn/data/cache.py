"""Keep parsed datasets in the cache folder, so that their files are read once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from tsfcn.common import npz
from tsfcn.common.files import cache_folder, create_cache_folder, is_trusted
from tsfcn.data.dataset import Dataset
from tsfcn.data.provenance import content_hash

ABANDONED_SECONDS = 3600  # the age from which no process can still be writing a temporary file


def cache_file(name: str, stamp: str) -> Path:
    """Return the file in which a dataset of these paths is kept: newer content replaces older."""
    paths = json.dumps([path for path, _, _ in json.loads(stamp)[3]])
    return cache_folder() / f"{name}-{hashlib.sha256(paths.encode()).hexdigest()[:16]}.npz"


def read_cache(name: str, stamp: str, *, only_passport: bool = False) -> Dataset | None:
    """Return what was kept of these very files; None where the cache is damaged, or others could have written it."""
    try:
        path = cache_file(name, stamp)
        if not is_trusted(path):
            return None
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["stamp"]) != stamp:
                return None
            passport = json.loads(str(kept["passport"]))
            nothing = np.empty((0, 0, 0)), np.empty(0, dtype=np.str_)
            x_train, y_train = nothing if only_passport else (kept["x_train"], kept["y_train"])
            x_test, y_test = nothing if only_passport else (kept["x_test"], kept["y_test"])
            unequal = bool(passport["unequal"])
            if not only_passport and content_hash(x_train, y_train, x_test, y_test, unequal) != passport["content"]:
                return None
            return Dataset(name, x_train, y_train, x_test, y_test, unequal, passport)
    except Exception:  # a damaged file fails in many ways (zip, npy, JSON), and its content can be read again
        return None


def write_cache(dataset: Dataset, stamp: str) -> None:
    """Keep a parsed dataset. A cache that cannot be written is no error."""
    newest = max(int(modified) for _, _, modified in json.loads(stamp)[3])
    if abs(time.time_ns() - newest) < 2_000_000_000:
        return  # a change within the same tick of the file system's clock would not be seen
    parts = {
        "stamp": np.array(stamp),
        "passport": np.array(json.dumps(dataset.passport)),
        "x_train": dataset.x_train,
        "y_train": dataset.y_train,
        "x_test": dataset.x_test,
        "y_test": dataset.y_test,
    }
    with contextlib.suppress(OSError):
        target = cache_file(dataset.name, stamp)
        create_cache_folder()
        for left in target.parent.glob(f".{dataset.name}-*.tmp"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink(missing_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{dataset.name}-", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                npz.write(file, parts)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

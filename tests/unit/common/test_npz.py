"""Files of arrays: what numpy reads from them, and what is never written to them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from tsfcn.common import npz

ARRAYS: dict[str, Any] = {
    "x": np.arange(6, dtype=np.float32).reshape(3, 2),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "labels": np.array(["a", "日本"]),
    "scalar": np.array(True),
    "empty": np.empty((0, 4)),
}


@pytest.mark.parametrize("compress", [False, True])
def test_entries_are_those_that_numpy_writes(compress: bool) -> None:
    ours, theirs = io.BytesIO(), io.BytesIO()
    npz.write(ours, ARRAYS, compress=compress)
    (np.savez_compressed if compress else np.savez)(theirs, **ARRAYS)
    with zipfile.ZipFile(ours) as one, zipfile.ZipFile(theirs) as other:
        assert one.namelist() == other.namelist()
        assert [one.read(name) for name in one.namelist()] == [other.read(name) for name in other.namelist()]
        assert [e.compress_type for e in one.infolist()] == [e.compress_type for e in other.infolist()]


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved when allow_pickle=False"):
        npz.write(io.BytesIO(), {"x": np.array([{"a": 1}])})

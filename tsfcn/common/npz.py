"""Write .npz files that hold no pickles, with any version of numpy."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np


def write(file: BinaryIO, arrays: Mapping[str, np.ndarray], *, compress: bool = False) -> None:
    """Write arrays to an open file, in the format of `numpy.savez` and, with `compress`, `numpy.savez_compressed`.

    `numpy.savez` pickles unless `allow_pickle=False` is given, which numpy 1 takes for the name of another array.

    Raises ValueError if an array holds Python objects, which numpy would pickle.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)

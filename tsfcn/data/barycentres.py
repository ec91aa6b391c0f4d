"""How alike two datasets are: the least DTW distance between their class barycentres.

Ismail Fawaz et al. 2018, "Transfer learning for time series classification", section III.B: each class of a training
set is represented by its barycentre under DTW (DBA of Petitjean et al. 2011), and the distance of two datasets is the
least distance between a barycentre of the one and a barycentre of the other (algorithm 1). DTW has no window;
dtaidistance computes both.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError
from tsfcn.data.preprocess import Floats, Int64

ITERATIONS = 30  # of DBA at most
CONVERGED = 1e-5  # change of the barycentre below which DBA ends

Series = npt.NDArray[np.float64]  # (n_timepoints, n_channels)


def library(module: str) -> ModuleType:
    """Return a module of dtaidistance. Raises UserError if it is not installed, or without its compiled part."""
    try:
        importlib.import_module("dtaidistance.dtw_cc")
        return importlib.import_module(f"dtaidistance.{module}")
    except ImportError as error:
        raise UserError(f"dtaidistance is not installed ({error}): run pip install 'tsfcn[dtw]'") from None


def class_barycentres(x: Floats, y: Int64) -> list[Series]:
    """Return the barycentre of each class, float64 (n_timepoints, n_channels), in the order of the classes.

    DBA starts from the mean of the class, so the result follows from the cases alone.

    Args:
        x: Float (n_cases, n_channels, n_timepoints), prepared: without NaN.
        y: Int (n_cases,), the class of each case.

    Raises:
        UserError: dtaidistance is not installed.
    """
    dba = library("dtw_barycenter")
    barycentres = []
    for label in np.unique(y):
        cases = np.ascontiguousarray(x[y == label].transpose(0, 2, 1), dtype=np.float64)
        cases = cases[:, :, 0] if cases.shape[2] == 1 else cases  # it takes one channel without its axis
        mean = cases.mean(axis=0)
        found = dba.dba_loop(list(cases), c=mean, max_it=ITERATIONS, thr=CONVERGED, use_c=True)
        barycentres.append(np.asarray(found, dtype=np.float64).reshape(x.shape[2], x.shape[1]))
    return barycentres


def distance(first: Sequence[Series], second: Sequence[Series]) -> float:
    """Return the least DTW distance between a barycentre of the first dataset and one of the second.

    The distance is the square root of the least sum of squared differences along a warping path; lengths may differ.
    """
    dtw = library("dtw_ndim")
    return min(float(dtw.distance(a, b, use_c=True)) for a in first for b in second)

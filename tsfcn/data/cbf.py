"""Cylinder, bell and funnel by their formula, with the onset and the end of each event."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tsfcn.data.preprocess import Floats, Int64

CLASSES = ("cylinder", "bell", "funnel")
N_TIMEPOINTS = 128


class CBF(NamedTuple):
    """Cases, their classes and events."""

    x: Floats  # float64 (n_cases, 1, 128), not normalised
    y: npt.NDArray[np.str_]  # (n_cases,)
    onset: Int64  # (n_cases,), the first timepoint of the event
    end: Int64  # (n_cases,), its last timepoint


def cbf(n_cases: int, seed: int) -> CBF:
    """Return cases of the classes in turn.

    Saito 1994, section 4.2: (6 + eta) * shape on [a, b] plus noise, with a in [16, 32], b - a in [32, 96], eta and the
    noise standard normal. The shape is 1 for a cylinder, (t - a) / (b - a) for a bell, (b - t) / (b - a) for a funnel.
    The UCR archive's CBF is drawn by the same formula, and normalised.

    >>> cases = cbf(3, seed=0)
    >>> cases.x.shape, cases.y.tolist()
    ((3, 1, 128), ['cylinder', 'bell', 'funnel'])
    """
    generator = np.random.default_rng(seed)
    times = np.arange(N_TIMEPOINTS)
    onset = generator.integers(16, 33, n_cases)
    end = np.minimum(onset + generator.integers(32, 97, n_cases), N_TIMEPOINTS - 1)
    a, b = onset[:, None], end[:, None]
    kind = np.arange(n_cases) % 3
    ramps = np.stack([np.ones((n_cases, N_TIMEPOINTS)), (times - a) / (b - a), (b - times) / (b - a)])
    height = 6 + generator.standard_normal((n_cases, 1))
    event = height * ramps[kind, np.arange(n_cases)] * ((times >= a) & (times <= b))
    x = event + generator.standard_normal((n_cases, N_TIMEPOINTS))
    return CBF(x[:, None, :], np.array(CLASSES)[kind], onset, end)


def share_inside(maps: Floats, onset: Int64, end: Int64, margin: int = 7) -> Floats:
    """Return the share of the positive mass of each map that is inside its event, (n_cases,), 0 to 1.

    Args:
        maps: (n_cases, n_timepoints).
        onset: The first timepoint of each event.
        end: The last timepoint of each event.
        margin: Timepoints to either side that count as inside.
    """
    times = np.arange(maps.shape[1])
    inside = (times >= onset[:, None] - margin) & (times <= end[:, None] + margin)
    mass = np.maximum(maps, 0)
    return np.asarray((mass * inside).sum(axis=1) / np.maximum(mass.sum(axis=1), np.finfo(np.float64).tiny))

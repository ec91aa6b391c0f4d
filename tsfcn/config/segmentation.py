"""The settings of task=segmentation: how streams are drawn from cases, and how their timepoints are labelled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tsfcn.common.errors import UserError
from tsfcn.config.checks import one_of, within

TASKS = ("classification", "segmentation")
LABELLINGS = ("network", "shift_and_stitch", "sliding")
BACKGROUND = "background"  # the class of gaps


@dataclass
class SegmentationConfig:
    """Dense labelling: one label for each timepoint of a stream (docs/segmentation.md)."""

    cases: int = 10  # of a stream; the first five settings are for streams that are drawn from the cases of a dataset
    passes: int = 4  # how many times each training case is used, each time in another order; each test case once
    gap: float = 0.5  # the longest gap beside a case, as a fraction of the median case; lengths are uniform from 0
    gap_noise: float = 0.1  # standard deviation of the noise on the straight line that crosses a gap
    background: bool = True  # gaps are a class of their own; false: they have no label, in training and in testing
    sampling: float = 1.0  # fraction of the cells of 32 timepoints that the loss of a step counts; 1: whole streams
    labelling: str = "network"  # of test streams; shift_and_stitch: of shifted inputs; sliding: of windows
    window_step: int = 8  # sliding: timepoints between two windows, all of which get the label of the nearest one

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("segmentation.cases", self.cases, 1)
        within("segmentation.passes", self.passes, 1)
        within("segmentation.gap", self.gap, 0)
        within("segmentation.gap_noise", self.gap_noise, 0)
        if not 0 < self.sampling <= 1:
            raise UserError(
                f"segmentation.sampling={self.sampling:g} is out of range: give a fraction above 0, at most 1 (all)"
            )
        one_of("segmentation.labelling", self.labelling, LABELLINGS)
        within("segmentation.window_step", self.window_step, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

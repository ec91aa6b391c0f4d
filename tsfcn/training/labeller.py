"""Labels of the timepoints of new streams, by a network that a run of task=segmentation has kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tsfcn.common.errors import UserError
from tsfcn.data.preprocess import Labels
from tsfcn.data.streams import check_lengths, prepared
from tsfcn.models import weights
from tsfcn.models.saved_classifier import SavedClassifier, read_classifier
from tsfcn.training.segmentation import labelling_network, log_probabilities
from tsfcn.training.threads import one_thread


class StreamLabeller:
    """A network that labels every timepoint of raw streams, as it labelled the test streams of its run.

    Streams are a list of arrays, each (n_timepoints,) or (n_channels, n_timepoints), of at least 32 timepoints. Values
    are finite.

    Attributes:
        classes_: (n_classes,) the labels as text, in the order of the probabilities.
        saved_: What its file holds.
    """

    def __init__(self, saved: SavedClassifier) -> None:
        self.saved_ = saved
        self.classes_: Labels = saved.labels
        self._network = labelling_network(saved.network, saved.task["labelling"])

    def predict(self, streams: Sequence[Any]) -> list[Labels]:
        """Return the most probable class of each timepoint, (n_timepoints,) for each stream. Errors: predict_proba."""
        return [self.classes_[each.argmax(axis=1)] for each in self.predict_proba(streams)]

    def predict_proba(self, streams: Sequence[Any]) -> list[npt.NDArray[np.float64]]:
        """Return the probabilities of the classes, (n_timepoints, n_classes) for each stream.

        Raises UserError for a stream of other channels, one that is too short, and values that are not finite.
        """
        how = self.saved_.task["labelling"], self.saved_.preparation.n_timepoints, self.saved_.task["window_step"]
        dtype = next(self._network.parameters()).dtype
        with one_thread():
            return [
                log_probabilities(self._network, torch.from_numpy(x).to(dtype), *how).exp().numpy()
                for x in [self._prepared(stream) for stream in streams]
            ]

    def _prepared(self, stream: Any) -> npt.NDArray[np.float32]:
        x = np.atleast_2d(np.asarray(stream, dtype=np.float64))
        n_channels = self.saved_.preparation.n_channels
        if x.ndim != 2 or len(x) != n_channels:
            raise UserError(f"the stream has shape {np.shape(stream)}: give ({n_channels}, n_timepoints), in a list")
        check_lengths("the file or list", [x.shape[1]])
        if not np.isfinite(x).all():
            raise UserError("the stream has missing values: fill them, or divide the stream there")
        return prepared(x, self.saved_.preparation)


def load_labeller(path: str | Path) -> StreamLabeller:
    """Return the network of a run of task=segmentation with save_weights=true, which labels raw streams.

    Args:
        path: The .safetensors file.

    Raises:
        UserError: The file cannot be read, differs from its digest, is a pickle or of another program, or holds a
            classifier.
    """
    saved = read_classifier(path)
    if not saved.task:
        raise UserError(f"weights '{path}' are of a classifier of whole series: use tsfcn.load_classifier")
    return labeller_of(saved, path)


def labeller_of(saved: SavedClassifier, path: str | Path) -> StreamLabeller:
    """Return the labeller of a file's content. Raises UserError for a network that labels no timepoints."""
    with weights.metadata_errors(path):
        return StreamLabeller(saved)

"""Classifiers for scikit-learn: the networks of the papers, trained as the runner trains them, with their preparation.

    from tsfcn import FCNClassifier
    classifier = FCNClassifier(epochs=100, random_state=0).fit(X, y)
    classifier.predict_proba(X_new)

X is raw: what the protocol does to series (normalisation, missing values, unequal lengths) is a part of the classifier.
With the same seed and protocol its predictions are those of a run (tests/parity/test_estimators.py).
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from tsfcn.common import device as devices
from tsfcn.common.errors import UserError
from tsfcn.config import classifier
from tsfcn.config import protocol as protocols
from tsfcn.config.classifier import as_parameters
from tsfcn.data import preprocess
from tsfcn.data.preprocess import Float32, Floats, Int64

if TYPE_CHECKING:
    from torch import nn

    from tsfcn.models.saved_classifier import SavedClassifier
    from tsfcn.training.loop import Curve, Fit, Progress
    from tsfcn.training.train import Task

Labels = npt.NDArray[Any]
Weights = npt.NDArray[np.float64]


class NetworkClassifier(classifier.NetworkParameters, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network under a protocol as a scikit-learn classifier: the base class of FCNClassifier and the others.

    X has numbers, NaN for a missing value: an array (n_cases, n_timepoints) or (n_cases, n_channels, n_timepoints), a
    pandas DataFrame with a row for each case, or a list of arrays (n_timepoints,) or (n_channels, n_timepoints), which
    may differ in length. In a 3-D array and a list, NaN at the end of a case means that the case has ended.

    Two-dimensional X must have the width of the training X. For a 3-D array or a list:

    - A network with global pooling (FCN, ResNet, and the LSTM networks with shuffle=False) predicts cases of any
      length. Each is used at its own length, unless the training cases differ in length: then the protocol's `length`
      holds for new cases too (pad: zeros up to the longest training case). With length='cut' longer cases are cut to
      the shortest training case. Cases that are shorter than the receptive field and than every training case are
      reported in a warning.
    - Other networks (MLP, and the LSTM networks with the dimension shuffle) raise UserError for another length. If the
      training cases differ in length, they take every case that is not longer than the longest of these.

    Attributes:
        classes_: (n_classes,) the labels, sorted.
        network_: The torch module, in evaluation mode.
        preparation_: How cases are prepared for it.
        config_: The settings of the network.
        settings_: The protocol, resolved for the network.
        labels_: (model, protocol) as tables name them, with what was changed in brackets.
        curve_: The learning curve: loss and lr, a value for each epoch. Not of a network that a run has kept.
        best_epoch_: The epoch after which the network had its weights. Not of a network that a run has kept.
        cells_: The size of the LSTM, 0 without one.
        engine_: The engine that trained it: reference, fast, fast_torch or fast_cuda. Not of a network that a run has
            kept.
        seed_: The seed that was used.
        n_channels_: The channels of a case.
        training_lengths_: The timepoints of the shortest and of the longest training case, as far as `truncate` uses
            them.
        n_features_in_: The timepoints of a case, if the training X was 2-D.
    """

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: 2-D and 3-D input, NaN allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags

    # -----------------------------------------------------------------------------------------------------------------
    # Fit

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network.

        Args:
            X: The training cases, see the class.
            y: (n_cases,) their classes.
            sample_weight: (n_cases,) factors for the loss of each case, at least 0. The reference loop uses them.

        Raises:
            ValueError: X, y, sample_weight or a parameter is invalid; UserError is a ValueError. After an error or
                Ctrl-C the classifier is what it was before.
        """
        before = dict(vars(self))
        for name in before:
            if name == "_order" or (name.endswith("_") and not name.startswith("_")):  # of an earlier fit
                delattr(self, name)
        try:
            return self._fit(X, y, sample_weight)
        except BaseException:
            self.__dict__ = before
            raise

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Train the network: `fit`, on a classifier that is not fitted."""
        self.check()
        with as_parameters():
            self.config_, self.settings_ = self.model_config(), self.protocol_settings()
        cases, unequal = self._training_cases(X)
        labels = self._checked_labels(y, len(cases))
        weights = checked_weights(sample_weight, cases)
        if weights is not None:
            kept = weights > 0
            cases, labels, weights = cases[kept], labels[kept], None if (weights[kept] == 1).all() else weights[kept]
        self.seed_ = self._seed()
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_.tolist()}: give cases of two classes or more")
        self._train(cases, unequal, labels, self._case_factors(labels, weights))
        return self

    def _training_cases(self, X: Any) -> tuple[Floats, bool]:
        """Return X as (n_cases, n_channels, n_timepoints), and whether NaN at the end of a case is its end."""
        two_dimensional = is_two_dimensional(X)
        if two_dimensional:
            X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        cases = as_cases(X)
        return cases, not two_dimensional and ends_differ(cases)

    def _checked_labels(self, y: Any, n_cases: int) -> Labels:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None: give labels")
        check_classification_targets(y)
        labels = column_or_1d(y, warn=True)
        if len(labels) != n_cases:
            raise ValueError(f"X has {n_cases} cases and y {len(labels)} labels: give one label for each case")
        return np.asarray(labels)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            if self.random_state < 0:
                raise UserError(f"random_state={self.random_state} is negative: give an integer of at least 0, or None")
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _case_factors(self, labels: Labels, weights: Weights | None) -> Weights | None:
        """Return the factor of each case's loss from sample weights and a mapping of class weights; None: all are 1."""
        if self.class_weight is None or isinstance(self.class_weight, str):
            return weights
        factors = class_factors(self.class_weight, labels)
        factors = factors if weights is None else factors * weights
        if not factors.any():
            raise UserError("class_weight leaves no case with a loss: give a class with cases a factor above 0")
        return factors

    def _train(self, cases: Floats, unequal: bool, labels: Labels, factors: Weights | None) -> None:
        """Train the network and keep what the fit leaves.

        Args:
            cases: (n_cases, n_channels, n_timepoints), as given.
            unequal: Whether NaN at the end of a case is its end.
            labels: (n_cases,) the classes.
            factors: (n_cases,) the factor of each case's loss; None: all are 1.
        """
        from tsfcn.training import threads
        from tsfcn.training.train import choose_engine, train

        device = devices.resolve(self.device)
        devices.prepare(device)
        prepared = self._prepare_training(cases, unequal)
        precision = self._precision(device, prepared.x.shape, factors is not None)
        self.labels_ = self._labels(precision)
        codes, _, _ = preprocess.encode_labels(labels, labels[:0])  # the runner's order of classes
        self._order = np.array([int(codes[labels == label][0]) for label in self.classes_])  # of classes_ in the logits
        with threads.one_thread(), threads.up_to(self.n_threads()), progress_bar(self.verbose) as move_bar:
            task = self._task(prepared, codes, factors, device, precision)
            with as_parameters():
                self.engine_ = choose_engine(task, self.engine, precision, device)

            def progress(epoch: int, n_epochs: int, loss: float) -> None:
                for callback in self.callbacks:
                    callback(epoch, {"loss": loss})
                move_bar(epoch, n_epochs, loss)

            fit, _ = train(task, self.engine_, precision=precision, progress=progress)
        self._keep(fit)

    def _prepare_training(self, cases: Floats, unequal: bool) -> preprocess.Prepared:
        """Return the training cases as the network takes them, and keep how new cases are prepared."""
        lengths = preprocess.case_lengths(cases, unequal)
        longest = int(lengths.max())
        self.n_channels_ = cases.shape[1]
        if self.n_channels_ > longest > 0:
            warnings.warn(
                f"X has {self.n_channels_} channels of {longest} timepoints: its axes are cases, channels, timepoints",
                stacklevel=5,
            )
        preparation = preprocess.fit_preparation(
            *(cases, lengths),
            normalisation=self.settings_.normalisation,
            missing=self.settings_.missing,
            length=self.settings_.length,
            fixed_length=self.config_.fixed_length(),
            truncate=self.settings_.truncate,
            permute_time=self.settings_.permute_time,
        )
        used = preparation.truncated(lengths)
        low, high = self.training_lengths_ = int(used.min()), int(used.max())
        self.preparation_ = unpadded(preparation) if low == high else preparation
        return preparation.transform(cases, lengths, is_training=True)

    def _labels(self, precision: str) -> tuple[str, str]:
        """Return what tables call the model and the protocol, with what was changed in brackets."""
        from tsfcn.jobs.plan import variant

        unchanged = classifier.protocol_config(self.protocol)
        fields = variant(self.architecture, self.config_, self.changed_protocol(), unchanged, self.settings_, precision)
        return fields["model"], fields["protocol"]

    def _task(
        self,
        prepared: preprocess.Prepared,
        codes: Int64,
        factors: Weights | None,
        device: str,
        precision: str,
    ) -> Task:
        """Return the training.

        Args:
            prepared: The training cases.
            codes: int64 (n_cases,), their classes.
            factors: (n_cases,) the factor of each case's loss; None: all are 1.
            device: torch's name of the device.
            precision: The numeric precision.
        """
        import torch

        from tsfcn.training.train import Task

        dtype = torch.float64 if precision == "float64" else torch.float32
        return Task(
            *(self.architecture, self.config_, self.settings_),
            torch.from_numpy(prepared.x).to(device=device, dtype=dtype),
            torch.from_numpy(codes).to(device),
            *(len(self.classes_), self.seed_),
            lengths=torch.from_numpy(prepared.lengths) if self.settings_.length == "mask" else None,
            sample_weight=None if factors is None else torch.from_numpy(factors),
            patience=self.patience if self.early_stopping else 0,
        )

    def _keep(self, fit: Fit) -> None:
        """Keep the network and the learning curve of a fit."""
        self.network_: nn.Module = fit.load(self.settings_.select)
        self.curve_: Curve = fit.curve
        self.best_epoch_: int = fit.best_epoch[self.settings_.select]
        self.cells_: int = fit.cells

    def _precision(self, device: str, shape: tuple[int, ...], is_weighted: bool) -> str:
        """Return the numeric precision of the training.

        Args:
            device: torch's name of the device.
            shape: (n_cases, n_channels, n_timepoints) of the training cases.
            is_weighted: Whether cases have factors of their loss.
        """
        from tsfcn.training.select_engine import automatic_precision

        if self.precision != "auto":
            devices.check_precision("precision", self.precision, device)
            return self.precision
        takes_fast = protocols.fast_takes(shape[2])
        fast = takes_fast and protocols.fast_trains(self.architecture, self.config_, self.settings_)
        return automatic_precision(self.engine, device) if fast and not is_weighted else "float32"

    # -----------------------------------------------------------------------------------------------------------------
    # Predict

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class, (n_cases, n_classes) in the order of `classes_`. Errors: `prepare`."""
        probabilities: npt.NDArray[np.float64] = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the logarithm of `predict_proba`, (n_cases, n_classes). Errors: `prepare`."""
        import torch

        from tsfcn.training import predict
        from tsfcn.training.threads import one_thread

        x, lengths = self.prepare(X)
        first = next(self.network_.parameters())
        tensor = torch.from_numpy(x).to(device=first.device, dtype=first.dtype)
        with one_thread():
            logs = predict.predict(self.network_, tensor, torch.from_numpy(lengths))
        return logs.numpy()[:, self._order]

    def predict(self, X: Any) -> Labels:
        """Return the most probable class of each case, (n_cases,). Errors: `prepare`."""
        best = self.predict_log_proba(X).argmax(axis=1)
        labels: Labels = self.classes_[best]
        return labels

    def prepare(self, X: Any) -> tuple[Float32, Int64]:
        """Return the cases as the network takes them, and the timepoints of each that it uses.

        Returns float32 (n_cases, n_channels, n_timepoints) and int64 (n_cases,).

        Raises:
            NotFittedError: The classifier is not fitted.
            ValueError: X has another number of channels or, if it is 2-D, another width, or is no array of numbers.
                UserError, which is a ValueError, for lengths that the network does not take.
        """
        check_is_fitted(self, "network_")
        two_dimensional = is_two_dimensional(X)
        if two_dimensional and hasattr(self, "n_features_in_"):
            X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        cases = as_cases(X)
        if cases.shape[1] != self.n_channels_:
            raise ValueError(f"X has {cases.shape[1]} channels: give {self.n_channels_}, as in training")
        lengths = self._lengths(X, cases, two_dimensional)
        self._check_lengths(self.preparation_.truncated(lengths))
        prepared = self.preparation_.transform(cases, lengths)
        return prepared.x, prepared.lengths

    def _lengths(self, X: Any, cases: Floats, two_dimensional: bool) -> Int64:
        """Return the timepoints of each case, int64 (n_cases,). cases: X as an array."""
        unequal = getattr(self, "unequal_", None)
        if unequal is None:
            return preprocess.case_lengths(cases, not two_dimensional and ends_differ(cases))
        if not unequal and lengths_differ(X):  # in the dataset of the run NaN was a missing value, also at the end
            return np.array([np.shape(case)[-1] for case in X], dtype=np.int64)
        return preprocess.case_lengths(cases, unequal)

    def _check_lengths(self, lengths: Int64) -> None:
        """Raise UserError for lengths that the network does not take; warn of cases that are too short.

        lengths: int64 (n_cases,), what is left by `truncate`.
        """
        low, high = self.training_lengths_
        if self.preparation_.fixed_length:
            refused = np.flatnonzero((lengths > high) | (lengths < high if low == high else False))
            if len(refused):
                raise UserError(
                    f"X case {refused[0]} has {lengths[refused[0]]} timepoints, {type(self).__name__} takes "
                    f"{'' if low == high else 'at most '}{high}, since {self.fixed_length_reason}: cut or resample the "
                    "series, or use FCNClassifier or ResNetClassifier"
                )
            return
        field = self.config_.receptive_field()
        if n_short := int((lengths < min(field, low)).sum()):
            warnings.warn(
                f"{n_short} of {len(lengths)} cases are shorter than the receptive field of the network, {field} "
                "timepoints, and than every training case: all activations depend on the padding of the convolutions",
                stacklevel=5,
            )

    # -----------------------------------------------------------------------------------------------------------------
    # Take away

    def save(
        self,
        path: str | Path,
        *,
        passport: Mapping[str, Any] | None = None,
        accuracy: float | None = None,
    ) -> Path:
        """Write the fitted classifier as a .safetensors file, a model card beside it (.md), and return the path.

        `tsfcn.load_classifier` reads the file. It holds no code and no pickle.

        Args:
            path: The file; it and its card are replaced if they exist.
            passport: Of the dataset (`tsfcn.load(...).passport`), for the card.
            accuracy: On test cases, for the card.

        Raises:
            UserError: Another suffix, classes that are neither numbers nor text, parameters that are no plain values,
                another file in the place of the card, or a file that cannot be written.
        """
        from tsfcn.models import saved_classifier

        check_is_fitted(self, "network_")
        if accuracy is not None and not 0 <= accuracy <= 1:
            raise UserError(f"accuracy={accuracy} is out of range: give a number from 0 to 1")
        return saved_classifier.write(path, saved_classifier.of_estimator(self, passport, accuracy))

    def export(self, path: str | Path) -> Path:
        """Write the classifier as a program of torch.export (.pt2) or ONNX (.onnx), and return the path.

        The program maps raw series, float32 (n_cases, n_channels, n_timepoints), to the probabilities of the classes,
        float32 (n_cases, n_classes) in the order of `classes_`; see models/export.py.

        Raises:
            UserError: Another suffix, or ONNX without its packages (pip install 'tsfcn[onnx]').
        """
        from tsfcn.models import export

        check_is_fitted(self, "network_")
        return export.export(path, export.Program(self.network_, self.preparation_, self._order), self.classes_)


def is_two_dimensional(X: Any) -> bool:
    """Return whether X is a table with a row for each case: no 3-D array, and no list of arrays."""
    if isinstance(X, (list, tuple)):
        rows = len(X) > 0 and all(isinstance(case, (list, tuple)) and np.ndim(case[:1]) == 1 for case in X)
        return rows and len({len(case) for case in X}) == 1
    return not (isinstance(X, np.ndarray) and (X.ndim == 3 or (X.dtype == object and X.ndim == 1)))


def lengths_differ(X: Any) -> bool:
    """Return whether X is a sequence of cases of several lengths."""
    is_sequence = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    return is_sequence and len({np.shape(case)[-1] for case in X}) > 1


def unpadded(preparation: preprocess.Preparation) -> preprocess.Preparation:
    """Return the preparation of new cases if the training cases have one length.

    Zeros after the end of a case are for networks that had them in training; others use each case at its own length.
    """
    if preparation.length == "pad" and not preparation.fixed_length:
        return replace(preparation, length="mask")
    return preparation


def ends_differ(cases: Floats) -> bool:
    """Return whether one of the cases (n_cases, n_channels, n_timepoints) ends in NaN in every channel."""
    return bool(np.isnan(cases[:, :, -1]).all(axis=1).any())


def checked_weights(sample_weight: Any, cases: Floats) -> Weights | None:
    """Return the sample weights as float64 (n_cases,), None if there are none. Raises ValueError for invalid ones."""
    if sample_weight is None:
        return None
    weights: Weights = _check_sample_weight(sample_weight, cases, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight has no value above 0: give at least one case a weight")
    return weights


def class_factors(class_weight: Mapping[Any, float], labels: Labels) -> Weights:
    """Return the factor of each case's class, float64 (n_cases,), 1 for a class that is not in the mapping.

    Raises UserError if the mapping has a class that `labels` lack and lacks one that they have, as for another type.
    scikit-learn's compute_sample_weight is not used, since it takes the label '1' for the number 1.
    """
    classes = np.unique(labels).tolist()
    unknown = [label for label in class_weight if label not in classes]
    if unknown and not set(classes) <= set(class_weight):
        raise UserError(f"class_weight has {unknown[0]!r}, which is not a class: use the classes of y, {classes[:6]}")
    factor_of = np.array([class_weight.get(label, 1.0) for label in classes], dtype=np.float64)
    return factor_of[np.searchsorted(np.unique(labels), labels)]


def as_cases(X: Any) -> Floats:
    """Return cases as float64 (n_cases, n_channels, n_timepoints), NaN after the end of shorter ones.

    Raises ValueError for other shapes, text and infinite values.
    """
    from tsfcn.data.formats.arrays import cases_of

    if isinstance(X, np.ndarray) and X.ndim == 3:
        if not X.shape[2]:
            raise ValueError(f"X has shape {X.shape}, cases without timepoints: give at least one")
        return np.asarray(check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", allow_nd=True))
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype != object:
        return np.asarray(X, dtype=np.float64)[:, None, :]
    cases = cases_of(X, "X")
    if not cases:
        raise ValueError("X has no cases: give at least one")
    if len({case.shape[0] for case in cases}) > 1:
        raise ValueError("X has cases of different numbers of channels: give as many in all")
    if not max(case.shape[1] for case in cases):
        raise ValueError("X has cases without timepoints: give at least one")
    padded = np.full((len(cases), cases[0].shape[0], max(case.shape[1] for case in cases)), np.nan)
    for place, case in zip(padded, cases, strict=True):
        place[:, : case.shape[1]] = case
    return padded


@contextlib.contextmanager
def progress_bar(verbose: bool) -> Iterator[Progress]:
    """Yield a function (epoch, n_epochs, loss) that moves a progress bar on standard error, if one is to be shown."""
    if not verbose:
        yield lambda epoch, n_epochs, loss: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("epoch {task.completed} of {task.total}"),
        progress.BarColumn(),
        progress.TextColumn("{task.percentage:3.0f}%"),
        progress.TextColumn("loss {task.fields[loss]:.4g}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", visible=False, loss=float("nan"))  # until the first epoch tells how many there are
        yield lambda epoch, n_epochs, loss: bar.update(task, completed=epoch, total=n_epochs, loss=loss, visible=True)


class FCNClassifier(classifier.FCNParameters, NetworkClassifier):
    """The fully convolutional network of Wang et al. 2017 for scikit-learn.

    NetworkClassifier describes X and the attributes, NetworkParameters and FCNParameters (tsfcn.config.classifier) the
    parameters.
    """


class LSTMFCNClassifier(classifier.LSTMFCNParameters, NetworkClassifier):
    """LSTM-FCN of Karim et al. 2018 for scikit-learn. Parameters: as for FCNClassifier, and LSTMFCNParameters."""


class ALSTMFCNClassifier(classifier.ALSTMFCNParameters, NetworkClassifier):
    """ALSTM-FCN of Karim et al. 2018 for scikit-learn. Parameters: those of LSTMFCNClassifier."""


class ResNetClassifier(classifier.ResNetParameters, NetworkClassifier):
    """The residual network of Wang et al. 2017 for scikit-learn. Parameters: NetworkParameters, ResNetParameters."""


class MLPClassifier(classifier.MLPParameters, NetworkClassifier):
    """The multilayer perceptron of Wang et al. 2017 for scikit-learn. Parameters: NetworkParameters, MLPParameters."""


class InceptionClassifier(classifier.InceptionParameters, NetworkClassifier):
    """The Inception network of Ismail Fawaz et al. 2020 for scikit-learn, one network, not the ensemble InceptionTime.

    Parameters: NetworkParameters, InceptionParameters.
    """


class HInceptionClassifier(classifier.HInceptionParameters, NetworkClassifier):
    """H-Inception of Ismail-Fawaz et al. 2022 for scikit-learn. Parameters: those of InceptionClassifier."""


class LITEClassifier(classifier.LITEParameters, NetworkClassifier):
    """LITE of Ismail-Fawaz et al. 2023 for scikit-learn, one network. Parameters: NetworkParameters, LITEParameters."""


class EncoderClassifier(classifier.EncoderParameters, NetworkClassifier):
    """The encoder of Serrà et al. 2018 for scikit-learn. Parameters: NetworkParameters, EncoderParameters."""


class MLSTMFCNClassifier(classifier.MLSTMFCNParameters, NetworkClassifier):
    """MLSTM-FCN of Karim, Majumdar, Darabi, Harford 2019 for scikit-learn.

    Parameters: as for LSTMFCNClassifier, and MLSTMFCNParameters.
    """


class MALSTMFCNClassifier(classifier.MALSTMFCNParameters, NetworkClassifier):
    """MALSTM-FCN of the paper of MLSTM-FCN for scikit-learn. Parameters: those of MLSTMFCNClassifier."""


CLASSES = {
    each.architecture: each
    for each in (
        *(FCNClassifier, LSTMFCNClassifier, ALSTMFCNClassifier, ResNetClassifier, MLPClassifier, InceptionClassifier),
        *(LITEClassifier, HInceptionClassifier, EncoderClassifier, MLSTMFCNClassifier, MALSTMFCNClassifier),
    )
}
"""The classifier of each model."""


def load_classifier(path: str | Path) -> NetworkClassifier:
    """Return the fitted classifier that `save` has written, or one that a run has kept (save_weights=true).

    It predicts raw series, with the probabilities that it gave before. `fit` trains it anew, as it was trained.

    Args:
        path: The .safetensors file.

    Raises:
        UserError: The file cannot be read, differs from its digest, is a pickle or of another program, or is of a model
            without a classifier.
    """
    from tsfcn.models import saved_classifier, weights

    saved = saved_classifier.read_classifier(path)
    if saved.task:
        raise UserError(f"weights '{path}' are of a network that labels timepoints: use tsfcn.load_labeller")
    if saved.architecture not in CLASSES:
        raise UserError(
            f"weights '{path}' are of model '{saved.architecture}', which has no classifier: use tsfcn.load_network"
        )
    with weights.metadata_errors(path):
        return _restored(saved)


def _restored(saved: SavedClassifier) -> NetworkClassifier:
    """Return the classifier of a file's content."""
    from tsfcn.models.saved_classifier import estimator_parameters
    from tsfcn.training.loop import Curve

    restored = CLASSES[saved.architecture](**estimator_parameters(saved))
    names = {"training_lengths_": (1, sys.maxsize), **saved.attributes}  # a run takes test cases of any length
    if "curve_" in names:
        names["curve_"] = Curve(**names["curve_"])
    if "feature_names_in_" in names:
        names["feature_names_in_"] = np.array(names["feature_names_in_"], dtype=object)
    classes, order = np.unique(saved.labels, return_index=True)
    one_length = saved.unequal is False  # in a run; the classifiers have seen to it themselves
    restored.__dict__.update(
        names,
        network_=saved.network,
        preparation_=unpadded(saved.preparation) if one_length else saved.preparation,
        settings_=saved.settings,
        classes_=classes,
        _order=order,
        seed_=saved.seed,
        cells_=saved.cells,
        n_channels_=saved.preparation.n_channels,
        unequal_=saved.unequal,
        config_=saved.config,
        labels_=(saved.job["model"], saved.protocol),
        saved_=saved,
    )
    return restored

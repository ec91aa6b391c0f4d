"""Classifiers for scikit-learn: the networks of the papers, trained as the runner trains them, with their preparation.

    from tsfcn import FCNClassifier
    classifier = FCNClassifier(epochs=100, random_state=0).fit(X, y)
    classifier.predict_proba(X_new)

X may be raw: what the protocol does to series (normalisation, missing values, unequal lengths) is part of the
classifier. With the same seed and protocol it predicts what the record of a run predicts (tests/parity).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

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
from tsfcn.config import models
from tsfcn.config import protocol as protocols
from tsfcn.config.schema import FAST_PRECISIONS
from tsfcn.data import preprocess
from tsfcn.data.preprocess import Float32, Floats, Int64

if TYPE_CHECKING:
    from torch import nn

    from tsfcn.models.saved_classifier import SavedClassifier
    from tsfcn.training.loop import Curve

Labels = npt.NDArray[Any]
PROTOCOL_FIELDS = ("normalisation", "missing", "length", "validation", "select")


class Callback(Protocol):
    """What sees the epochs of a training. It cannot change a number."""

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Take note of an epoch that has ended.

        Args:
            epoch: Counted from 1, over all LSTM sizes that are trained. The fast engine on a GPU trains several epochs
                between two calls.
            logs: 'loss', the training loss in nats.
        """


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network under a protocol as a scikit-learn classifier; `FCNClassifier` and its siblings are for use.

    X is numbers, NaN for a missing value: an array (n_cases, n_timepoints) or (n_cases, n_channels, n_timepoints), a
    pandas frame of one case a row, or a sequence of cases (n_timepoints,) or (n_channels, n_timepoints) that may differ
    in length. In a 3-D array and a sequence NaN at the end of a case is the end of the case. Two-dimensional X must
    have the width of the training X; the others may have any length for networks that take any (all but MLP and the
    LSTMs with the dimension shuffle, for which longer cases are cut and shorter ones get zeros).

    Args:
        protocol: The protocol's name (conf/protocol): fawaz2019, karim2019, wang2017 and others.
        normalisation, missing, length, validation, select: The protocol's value where None; see protocol.Settings.
        epochs, batch_size, batch_divisor, optimiser, lr, betas, rho, eps: Likewise.
        plateau_factor, plateau_patience, plateau_min_lr, plateau_min_delta, initialiser: Likewise.
        class_weight: None, 'balanced', or a mapping from class to a factor for the loss of its cases.
        early_stopping: Stop when the loss on held-out cases has not become smaller for `patience` epochs, and keep the
            weights of its minimum. Holds out 20 % of the cases unless `validation` says otherwise.
        patience: Epochs, for early_stopping.
        random_state: The seed: the same integer gives the same classifier, and the run of that seed. None: a random
            one. A RandomState draws one.
        device: cpu, cuda, cuda:N, mps or auto.
        engine: auto, reference or fast.
        precision: float32, float64, bfloat16, tf32 or auto.
        callbacks: Called after each epoch; see Callback.
        verbose: Whether to show a progress bar on standard error.

    Attributes:
        classes_: (n_classes,) the labels, sorted.
        network_: The torch module, in evaluation mode.
        preparation_: How series are prepared for it.
        settings_: The protocol, resolved for the network.
        curve_: The learning curve: loss and lr, a value an epoch.
        best_epoch_: After how many epochs the network had its weights.
        engine_: The engine that trained it.
        seed_: The seed that was used.
        n_features_in_: Timepoints of a case, for 2-D X.
    """

    architecture: ClassVar[str]

    protocol: str = "fawaz2019"
    normalisation: str | None = None
    missing: str | None = None
    length: str | None = None
    validation: float | None = None
    select: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    batch_divisor: int | None = None
    optimiser: str | None = None
    lr: float | None = None
    betas: Sequence[float] | None = None
    rho: float | None = None
    eps: float | None = None
    plateau_factor: float | None = None
    plateau_patience: int | None = None
    plateau_min_lr: float | None = None
    plateau_min_delta: float | None = None
    initialiser: str | None = None
    class_weight: str | Mapping[Any, float] | None = None
    early_stopping: bool = False
    patience: int = 50
    random_state: int | np.random.RandomState | None = None
    device: str = "cpu"
    engine: str = "auto"
    precision: str = "float32"
    callbacks: Sequence[Callback] = ()
    verbose: bool = False

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: 2-D and 3-D input, NaN allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    # -----------------------------------------------------------------------------------------------------------------
    # Fit

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network.

        Args:
            X: The training cases, see the class.
            y: (n_cases,) their classes.
            sample_weight: (n_cases,) factors for the loss of each case, at least 0. The reference loop trains then.

        Raises:
            ValueError: Input or settings that cannot be; UserError is one.
        """
        cases = self._training_cases(X)
        y = self._checked_labels(y, len(cases))
        weights = (
            None if sample_weight is None else _check_sample_weight(sample_weight, cases, ensure_non_negative=True)
        )
        if weights is not None:
            if not weights.any():
                raise ValueError("sample_weight is zero for every case: give some case a positive weight")
            kept = weights > 0
            cases, y, weights = cases[kept], y[kept], weights[kept]
        self.seed_ = self._seed()
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_[0]!r}: a classifier needs two classes or more")
        self._train(cases, y, self._case_factors(y, weights))
        return self

    def _training_cases(self, X: Any) -> Floats:
        """Return X as (n_cases, n_channels, n_timepoints), and remember its width where it is 2-D."""
        self._forget_width()
        if is_two_dimensional(X):
            X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        return as_cases(X)

    def _forget_width(self) -> None:
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                delattr(self, name)

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
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _case_factors(self, y: Labels, weights: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
        """Return the factor of each case's loss from sample weights and a mapping of class weights; None: all are 1."""
        if self.class_weight is None or isinstance(self.class_weight, str):
            return weights
        factors = np.ones(len(y)) if weights is None else weights
        for label, factor in self.class_weight.items():
            factors = np.where(y == label, factors * factor, factors)
        return factors

    def _train(self, cases: Floats, y: Labels, factors: npt.NDArray[Any] | None) -> None:
        import torch

        from tsfcn.training.train import Task, choose_engine, train

        config, self.settings_ = self.model_config(), self.protocol_settings()
        self.preparation_ = preprocess.fit_preparation(
            cases,
            normalisation=self.settings_.normalisation,
            missing=self.settings_.missing,
            length=self.settings_.length,
            unequal=self._ends_differ(cases),
            fixed_length=config.fixed_length(),
        )
        prepared = self.preparation_.transform(cases, self._ends_differ(cases), is_training=True)
        codes, _, names = preprocess.encode_labels(y, y[:0])  # the runner's order of classes
        self._order = np.array([int(codes[y == label][0]) for label in self.classes_])  # of classes_ among the logits
        device = devices.resolve(self.device)
        devices.prepare(device)
        precision = self._precision(device)
        dtype = torch.float64 if precision == "float64" else torch.float32
        masked = self.settings_.length == "mask"
        with one_thread():
            task = Task(
                *(self.architecture, config, self.settings_),
                torch.from_numpy(prepared.x).to(device=device, dtype=dtype),
                torch.from_numpy(codes).to(device),
                *(len(names), self.seed_),
                lengths=torch.from_numpy(prepared.lengths) if masked else None,
                sample_weight=None if factors is None else torch.from_numpy(np.asarray(factors, dtype=np.float64)),
                patience=self.patience if self.early_stopping else 0,
            )
            self.engine_ = choose_engine(task, self.engine, precision, device)
            with progress_bar(self.verbose, self.settings_) as bar:
                listeners = [*self.callbacks, *([bar] if bar else [])]
                best, _ = train(task, self.engine_, precision=precision, progress=functools.partial(_notify, listeners))
        self._keep(best)

    def _keep(self, best: Any) -> None:
        """Keep the network and the learning curve of a fit."""
        self.network_: nn.Module = best.load(self.settings_.select)
        self.curve_: Curve = best.curve
        self.best_epoch_: int = best.best_epoch[self.settings_.select]
        self.cells_: int = best.cells
        self.n_channels_: int = self.preparation_.n_channels

    def _precision(self, device: str) -> str:
        from tsfcn.training.select_engine import automatic_precision

        if self.precision == "auto":
            return automatic_precision(self.engine, device)
        if self.precision not in ("float32", "float64", *FAST_PRECISIONS):
            raise UserError(f"precision='{self.precision}' is not known: use float32, float64, bfloat16, tf32 or auto")
        return self.precision

    def _ends_differ(self, cases: Floats) -> bool:
        """Return whether NaN at the end of a case is its end: not where X is 2-D, of one width."""
        unequal: bool | None = getattr(self, "unequal_", None)
        if unequal is not None:
            return unequal
        return not hasattr(self, "n_features_in_") and bool(np.isnan(cases[:, :, -1]).all(axis=1).any())

    def model_config(self) -> models.ModelConfig:
        """Return the settings of the network. Raises UserError for a value out of range."""
        spec = models.spec(self.architecture)
        values = {each.name: getattr(self, each.name) for each in fields(spec.settings)}
        return spec.settings(**{n: list(v) if isinstance(v, tuple) else v for n, v in values.items()})

    def protocol_settings(self) -> protocols.Settings:
        """Return the protocol, resolved for the network. Raises UserError for a value out of range."""
        chosen = deepcopy(protocol_config(self.protocol))
        for name in PROTOCOL_FIELDS:
            if getattr(self, name) is not None:
                setattr(chosen, name, getattr(self, name))
        for each in fields(protocols.TrainingConfig):
            value = getattr(self, each.name, None)
            if value is not None and each.name != "cells":
                setattr(chosen, each.name, list(value) if isinstance(value, (tuple, np.ndarray)) else value)
        if self.class_weight is not None:
            chosen.class_weights = "balanced" if self.class_weight == "balanced" else "none"
            if isinstance(self.class_weight, str) and self.class_weight != "balanced":
                raise UserError(f"class_weight='{self.class_weight}' is not known: use 'balanced', a mapping or None")
        if self.early_stopping:
            if self.patience < 1:
                raise UserError(f"patience={self.patience} is out of range: give at least 1")
            chosen.validation = chosen.validation if self.validation is not None else chosen.validation or 0.2
            chosen.select = self.select or "validation"
        if chosen.select == "test_oracle":
            raise UserError("select=test_oracle is for runs with a test set: use least_train_loss, last or validation")
        return protocols.settings(chosen, self.architecture, self.model_config())

    # -----------------------------------------------------------------------------------------------------------------
    # Predict

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class, (n_cases, n_classes) in the order of `classes_`."""
        probabilities: npt.NDArray[np.float64] = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the logarithm of the probability of each class, (n_cases, n_classes) in the order of `classes_`."""
        import torch

        from tsfcn.training import predict

        x, lengths = self.prepare(X)
        first = next(self.network_.parameters())
        tensor = torch.from_numpy(x).to(device=first.device, dtype=first.dtype)
        with one_thread():
            logs = predict.predict(self.network_, tensor, torch.from_numpy(lengths))
        return logs.numpy()[:, self._order]

    def predict(self, X: Any) -> Labels:
        """Return the most probable class of each case, (n_cases,)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        labels: Labels = self.classes_[best]
        return labels

    def prepare(self, X: Any) -> tuple[Float32, Int64]:
        """Return the cases as the network takes them, and the timepoints of each that it sees.

        Returns float32 (n_cases, n_channels, n_timepoints) and int64 (n_cases,).
        """
        check_is_fitted(self, "network_")
        if hasattr(self, "n_features_in_"):
            X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        cases = as_cases(X)
        if cases.shape[1] != self.n_channels_:
            raise ValueError(f"X has {cases.shape[1]} channels: give {self.n_channels_}, as in training")
        prepared = self.preparation_.transform(cases, lengths_differ(X) or self._ends_differ(cases))
        return prepared.x, prepared.lengths

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
            path: The file; it is replaced where it exists.
            passport: Of the dataset (`tsfcn.load(...).passport`), for the card.
            accuracy: On test cases, for the card.

        Raises:
            UserError: Another suffix, or classes that are neither numbers nor text.
        """
        from tsfcn.models import saved_classifier

        check_is_fitted(self, "network_")
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
    """Return whether X is a table of one case a row, not cases of several channels or of several lengths."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(np.ndim(case) == 1 for case in X) and len({len(case) for case in X}) == 1
    return not (isinstance(X, np.ndarray) and (X.ndim == 3 or (X.dtype == object and X.ndim == 1)))


def lengths_differ(X: Any) -> bool:
    """Return whether X is a sequence of cases of several lengths."""
    is_sequence = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    return is_sequence and len({np.shape(case)[-1] for case in X}) > 1


def as_cases(X: Any) -> Floats:
    """Return cases as float64 (n_cases, n_channels, n_timepoints), NaN after the end of shorter ones.

    Raises ValueError for other shapes, text and infinite values.
    """
    from tsfcn.data.formats.arrays import cases_of

    if isinstance(X, np.ndarray) and X.ndim == 3:
        return np.asarray(check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", allow_nd=True))
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype != object:
        return np.asarray(X, dtype=np.float64)[:, None, :]
    cases = cases_of(X, "X")
    if not cases:
        raise ValueError("X has no cases: give at least one")
    if len({case.shape[0] for case in cases}) > 1:
        raise ValueError("X has cases of different numbers of channels: give as many in all")
    padded = np.full((len(cases), cases[0].shape[0], max(case.shape[1] for case in cases)), np.nan)
    for place, case in zip(padded, cases, strict=True):
        place[:, : case.shape[1]] = case
    return padded


@functools.cache
def protocol_config(name: str) -> protocols.ProtocolConfig:
    """Return a protocol as its file has it. Raises UserError for an unknown name."""
    from tsfcn.config.compose import compose

    return compose([f"protocol={name}"])[1]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, as the runner does: part of the same bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def progress_bar(verbose: bool, settings: protocols.Settings) -> Iterator[Callback | None]:
    """Yield a callback that moves a progress bar on standard error, None where nothing is to be shown."""
    if not verbose:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("epoch {task.completed} of {task.total}"), BarColumn(), TaskProgressColumn()
    loss = TextColumn("loss {task.fields[loss]:.4g}"), TimeRemainingColumn()
    with Progress(*columns, *loss, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=settings.epochs * max(1, len(settings.cells)), loss=float("nan"))
        yield lambda epoch, logs: bar.update(task, completed=epoch, loss=logs["loss"])


def _notify(listeners: Sequence[Callback], epoch: int, _: int, loss: float) -> None:
    for listener in listeners:
        listener(epoch, {"loss": loss})


@dataclass(kw_only=True, eq=False, repr=False)
class FCNClassifier(NetworkClassifier):
    """The fully convolutional network of Wang et al. 2017 as a classifier; see NetworkClassifier for X and parameters.

    The network's own parameters: filters and kernels of each block, bn_momentum, bn_eps.
    """

    architecture: ClassVar[str] = "fcn"

    filters: Sequence[int] = (128, 256, 128)
    kernels: Sequence[int] = (8, 5, 3)
    bn_momentum: float = 0.99
    bn_eps: float = 0.001


@dataclass(kw_only=True, eq=False, repr=False)
class LSTMFCNClassifier(FCNClassifier):
    """LSTM-FCN of Karim et al. 2018 as a classifier; see FCNClassifier.

    The network's own parameters besides those of the FCN: cells, the size of the LSTM (None: the protocol's sizes are
    all trained, and the one of least training cross-entropy is kept), dropout, shuffle, gates.
    """

    architecture: ClassVar[str] = "lstm_fcn"

    protocol: str = "karim2019"
    cells: int | None = None
    dropout: float = 0.8
    shuffle: bool = True
    gates: str = "hard_sigmoid"


@dataclass(kw_only=True, eq=False, repr=False)
class ALSTMFCNClassifier(LSTMFCNClassifier):
    """ALSTM-FCN of Karim et al. 2018, whose LSTM attends to all steps, as a classifier; see LSTMFCNClassifier."""

    architecture: ClassVar[str] = "alstm_fcn"


@dataclass(kw_only=True, eq=False, repr=False)
class ResNetClassifier(NetworkClassifier):
    """The residual network of Wang et al. 2017 as a classifier; see FCNClassifier.

    The network's own parameters: filters of each residual block, kernels within a block, input_norm, bn_momentum,
    bn_eps.
    """

    architecture: ClassVar[str] = "resnet"

    filters: Sequence[int] = (64, 128, 128)
    kernels: Sequence[int] = (8, 5, 3)
    input_norm: bool = False
    bn_momentum: float = 0.99
    bn_eps: float = 0.001


@dataclass(kw_only=True, eq=False, repr=False)
class MLPClassifier(NetworkClassifier):
    """The multilayer perceptron of Wang et al. 2017 as a classifier; see FCNClassifier.

    The network's own parameters: units of the hidden layers; dropout before each of them and before the last layer.
    """

    architecture: ClassVar[str] = "mlp"

    units: Sequence[int] = (500, 500, 500)
    dropout: Sequence[float] = (0.1, 0.2, 0.2, 0.3)


CLASSES = {
    each.architecture: each
    for each in (FCNClassifier, LSTMFCNClassifier, ALSTMFCNClassifier, ResNetClassifier, MLPClassifier)
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

    classifier = CLASSES[saved.architecture](**estimator_parameters(saved))
    names = dict(saved.attributes)
    if "curve_" in names:
        names["curve_"] = Curve(**names["curve_"])
    if "feature_names_in_" in names:
        names["feature_names_in_"] = np.array(names["feature_names_in_"], dtype=object)
    classes, order = np.unique(saved.labels, return_index=True)
    classifier.__dict__.update(
        names,
        network_=saved.network,
        preparation_=saved.preparation,
        settings_=saved.settings,
        classes_=classes,
        _order=order,
        seed_=saved.seed,
        cells_=saved.cells,
        n_channels_=saved.preparation.n_channels,
        unequal_=saved.unequal,
    )
    return classifier

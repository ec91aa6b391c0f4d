"""Classifiers for sktime: those of tsfcn.estimators under the same names, on sktime's base class.

    from tsfcn.sktime import FCNClassifier
    FCNClassifier(epochs=100, random_state=0).fit(X, y).predict(X_new)

X is any panel of sktime. Parameters are those of the classifiers for scikit-learn, and so are predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy.typing as npt
from sktime.classification.base import BaseClassifier

from tsfcn import estimators
from tsfcn.config import classifier

THREADED: dict[str, Any] = {"capability:multithreading": True}  # by n_jobs: those that the fast engine trains


class NetworkClassifier(classifier.NetworkParameters, BaseClassifier):  # type: ignore[misc]
    """A network under a protocol as a sktime classifier: the base class of FCNClassifier and the others.

    Attributes:
        classifier_: The fitted classifier for scikit-learn, with the attributes of estimators.NetworkClassifier.
    """

    _tags: ClassVar[dict[str, Any]] = {
        "X_inner_mtype": ["df-list", "numpy3D"],
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
        "capability:predict_proba": True,
        "capability:class_weight": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
        "python_dependencies": "torch",
        "authors": "the tsfcn developers",
        "maintainers": "the tsfcn developers",
    }

    estimator: ClassVar[type[estimators.NetworkClassifier]]
    small: ClassVar[dict[str, Any]]  # sizes of a network that sktime's tests train

    def __post_init__(self) -> None:
        """Call the constructor of sktime's base class, which calls this method in turn."""
        if not hasattr(self, "_is_vectorized"):
            BaseClassifier.__init__(self)

    def _fit(self, X: Any, y: npt.NDArray[Any]) -> Self:
        self.classifier_ = self.estimator(**self.get_params(deep=False)).fit(cases(X), y)
        return self

    def _predict(self, X: Any) -> npt.NDArray[Any]:
        return self.classifier_.predict(cases(X))

    def _predict_proba(self, X: Any) -> npt.NDArray[Any]:
        return self.classifier_.predict_proba(cases(X))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return the parameters of two small networks, for sktime's tests."""
        short = {"epochs": 2, "random_state": 0, **cls.small}
        return [short, {**short, "protocol": "wang2017", "engine": "reference", "class_weight": "balanced"}]


def cases(X: Any) -> Any:
    """Return a panel of sktime, a 3-D array or a list of DataFrames (n_timepoints, n_channels), for scikit-learn."""
    return [case.to_numpy().T for case in X] if isinstance(X, list) else X


@dataclass(kw_only=True, eq=False, repr=False)
class FCNClassifier(classifier.FCNParameters, NetworkClassifier):
    """The fully convolutional network of Wang et al. 2017 for sktime. Parameters: as estimators.FCNClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import FCNClassifier
    >>> X, y = load_unit_test(split="train")
    >>> FCNClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    _tags: ClassVar[dict[str, Any]] = THREADED

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.FCNClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4,), "kernels": (3,)}


@dataclass(kw_only=True, eq=False, repr=False)
class LSTMFCNClassifier(classifier.LSTMFCNParameters, NetworkClassifier):
    """LSTM-FCN of Karim et al. 2018 for sktime. Parameters: as estimators.LSTMFCNClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import LSTMFCNClassifier
    >>> X, y = load_unit_test(split="train")
    >>> LSTMFCNClassifier(epochs=1, cells=8, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    _tags: ClassVar[dict[str, Any]] = THREADED

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.LSTMFCNClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4,), "kernels": (3,), "cells": 2}


@dataclass(kw_only=True, eq=False, repr=False)
class ALSTMFCNClassifier(classifier.ALSTMFCNParameters, NetworkClassifier):
    """ALSTM-FCN of Karim et al. 2018 for sktime. Parameters: as estimators.ALSTMFCNClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import ALSTMFCNClassifier
    >>> X, y = load_unit_test(split="train")
    >>> ALSTMFCNClassifier(epochs=1, cells=8, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    _tags: ClassVar[dict[str, Any]] = THREADED

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.ALSTMFCNClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4,), "kernels": (3,), "cells": 2}


@dataclass(kw_only=True, eq=False, repr=False)
class ResNetClassifier(classifier.ResNetParameters, NetworkClassifier):
    """The residual network of Wang et al. 2017 for sktime. Parameters: as estimators.ResNetClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import ResNetClassifier
    >>> X, y = load_unit_test(split="train")
    >>> ResNetClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.ResNetClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4,), "kernels": (3,)}


@dataclass(kw_only=True, eq=False, repr=False)
class MLPClassifier(classifier.MLPParameters, NetworkClassifier):
    """The multilayer perceptron of Wang et al. 2017 for sktime. Parameters: as estimators.MLPClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import MLPClassifier
    >>> X, y = load_unit_test(split="train")
    >>> MLPClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.MLPClassifier
    small: ClassVar[dict[str, Any]] = {"units": (4,), "dropout": (0.0, 0.0)}


@dataclass(kw_only=True, eq=False, repr=False)
class InceptionClassifier(classifier.InceptionParameters, NetworkClassifier):
    """The Inception network of Ismail Fawaz et al. 2020 for sktime. Parameters: as estimators.InceptionClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import InceptionClassifier
    >>> X, y = load_unit_test(split="train")
    >>> InceptionClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.InceptionClassifier
    small: ClassVar[dict[str, Any]] = {"filters": 2, "kernels": (3,), "depth": 3}


@dataclass(kw_only=True, eq=False, repr=False)
class HInceptionClassifier(classifier.HInceptionParameters, NetworkClassifier):
    """H-Inception of Ismail-Fawaz et al. 2022 for sktime. Parameters: as estimators.HInceptionClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import HInceptionClassifier
    >>> X, y = load_unit_test(split="train")
    >>> HInceptionClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.HInceptionClassifier
    small: ClassVar[dict[str, Any]] = {"filters": 2, "kernels": (3,), "depth": 3}


@dataclass(kw_only=True, eq=False, repr=False)
class LITEClassifier(classifier.LITEParameters, NetworkClassifier):
    """LITE of Ismail-Fawaz et al. 2023 for sktime. Parameters: as estimators.LITEClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import LITEClassifier
    >>> X, y = load_unit_test(split="train")
    >>> LITEClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.LITEClassifier
    small: ClassVar[dict[str, Any]] = {"filters": 2, "kernels": (3,)}


@dataclass(kw_only=True, eq=False, repr=False)
class EncoderClassifier(classifier.EncoderParameters, NetworkClassifier):
    """The encoder of Serrà et al. 2018 for sktime. Parameters: as estimators.EncoderClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import EncoderClassifier
    >>> X, y = load_unit_test(split="train")
    >>> EncoderClassifier(epochs=1, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.EncoderClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4,), "kernels": (3,), "units": 2}


@dataclass(kw_only=True, eq=False, repr=False)
class MLSTMFCNClassifier(classifier.MLSTMFCNParameters, NetworkClassifier):
    """MLSTM-FCN of Karim, Majumdar, Darabi, Harford 2019 for sktime. Parameters: as estimators.MLSTMFCNClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import MLSTMFCNClassifier
    >>> X, y = load_unit_test(split="train")
    >>> MLSTMFCNClassifier(epochs=1, cells=8, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.MLSTMFCNClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4, 4), "kernels": (3, 3), "cells": 2}


@dataclass(kw_only=True, eq=False, repr=False)
class MALSTMFCNClassifier(classifier.MALSTMFCNParameters, NetworkClassifier):
    """MALSTM-FCN of the paper of MLSTM-FCN for sktime. Parameters: as estimators.MALSTMFCNClassifier.

    >>> from sktime.datasets import load_unit_test
    >>> from tsfcn.sktime import MALSTMFCNClassifier
    >>> X, y = load_unit_test(split="train")
    >>> MALSTMFCNClassifier(epochs=1, cells=8, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    estimator: ClassVar[type[estimators.NetworkClassifier]] = estimators.MALSTMFCNClassifier
    small: ClassVar[dict[str, Any]] = {"filters": (4, 4), "kernels": (3, 3), "cells": 2}

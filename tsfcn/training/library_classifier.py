"""Classifiers of sktime and aeon: found by name, created with parameters and a seed, fitted, and asked.

The name is looked up among the classifiers that the library itself lists, so that no setting and no file of results can
name any other code. Both libraries take cases as float (n_cases, n_channels, n_timepoints).
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError, first_line
from tsfcn.common.global_random import seeded
from tsfcn.config.libraries import LibraryConfig

SEED = "random_state"  # the parameter, by the convention of scikit-learn


@functools.cache
def classes(library: str) -> dict[str, type[Any]]:
    """Return the classifiers that a library lists, by name. It imports all of them, which takes seconds.

    Raises UserError if the library is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules that none of the chosen classifiers needs
            if library == "sktime":
                from sktime.registry import all_estimators

                return dict(all_estimators("classifier", return_names=True))
            from aeon.utils.discovery import all_estimators as all_estimators_of_aeon

            return dict(all_estimators_of_aeon(type_filter="classifier"))
    except ImportError as error:
        raise UserError(
            f"model={library} needs {library}, which cannot be imported, {first_line(error)}: "
            f"pip install 'tsfcn[{library}]'"
        ) from None


def find(library: str, config: LibraryConfig) -> type[Any]:
    """Return the class of a classifier, once its name, its parameters and its packages are checked.

    Raises:
        UserError: The name is missing or unknown, a parameter is not one of the class, or a package is not installed.
    """
    where = f"model.{library}.estimator"
    if not config.estimator:
        example = "RocketClassifier" if library == "sktime" else "MultiRocketHydraClassifier"
        raise UserError(f"{where} is not set: name a classifier of {library}, for example {where}={example}")
    known = classes(library)
    if config.estimator not in known:
        raise UserError(f"{where}={config.estimator} is not a classifier of {library}: {suggestion(config, known)}")
    found = known[config.estimator]
    needed = missing_packages(found)
    if needed:
        raise UserError(
            f"{config.estimator} of {library} needs {' and '.join(needed)}: "
            f"pip install {' '.join(repr(name) if set(name) & set('<>=! ') else name for name in needed)}"
        )
    check_parameters(found, library, config)
    return found


def suggestion(config: LibraryConfig, known: dict[str, type[Any]]) -> str:
    """Return the remedy for the name of a classifier that is not known."""
    short = {name.lower().replace("classifier", ""): name for name in sorted(known)}
    near = difflib.get_close_matches(str(config.estimator).lower().replace("classifier", ""), short, n=1)
    return f"did you mean {short[near[0]]}?" if near else f"it has {', '.join(sorted(known))}"


def missing_packages(found: type[Any]) -> list[str]:
    """Return what a classifier says it needs and this environment has not, as requirements of pip."""
    from packaging.requirements import Requirement

    needed = found.get_class_tag("python_dependencies") or []
    lacking = []
    for each in [needed] if isinstance(needed, str) else needed:
        alternatives = [each] if isinstance(each, str) else each
        if not any(is_installed(Requirement(name)) for name in alternatives):
            lacking.append(alternatives[0])
    return lacking


def is_installed(requirement: Any) -> bool:
    """Return whether a package is installed in a version that a packaging.requirements.Requirement accepts."""
    from importlib import metadata

    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return bool(requirement.specifier.contains(version, prereleases=True))


def check_parameters(found: type[Any], library: str, config: LibraryConfig) -> None:
    """Raise UserError for a parameter that the class does not have, and for the random state, which is the seed."""
    names = [name for name in inspect.signature(found.__init__).parameters if name != "self"]
    for name in config.params:
        where = f"model.{library}.params.{name}"
        if name == SEED:
            raise UserError(f"{where} is the seed of the job: leave it out, and choose seeds=")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
            raise UserError(f"{where} is not a parameter of {config.estimator}: {remedy}")


def create(library: str, config: LibraryConfig, seed: int) -> Any:
    """Return the classifier, whose random state is the seed where it has one. Raises UserError as `find` does."""
    found = find(library, config)
    parameters = dict(config.params)
    if SEED in inspect.signature(found.__init__).parameters:
        parameters[SEED] = seed
    try:
        return found(**parameters)
    except (TypeError, ValueError) as error:
        raise UserError(f"{config.estimator} of {library} refuses its parameters: {first_line(error)}") from None


class LibraryClassifier:
    """A classifier of a library in the hands of a job.

    Args:
        library: 'sktime' or 'aeon'.
        config: The classifier and its parameters.
        seed: All random numbers follow from it, those of the global generators too, which some classifiers draw from.
    """

    def __init__(self, library: str, config: LibraryConfig, seed: int) -> None:
        self.name = f"{config.estimator} of {library}"
        self.seed = seed
        self.estimator = create(library, config, seed)

    def fit(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> None:
        """Fit to cases (n_cases, n_channels, n_timepoints) and their classes (n_cases,).

        Raises:
            UserError: The classifier takes no series of several channels, or lacks a package.
        """
        n_channels = x.shape[1]
        if n_channels > 1 and not self.estimator.get_tag("capability:multivariate"):
            raise UserError(
                f"{self.name} takes one channel, and the dataset has {n_channels}: choose another classifier"
            )
        with seeded(self.seed), self.explained():
            self.estimator.fit(x.astype(np.float64), y)

    def predict(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the predicted class of each case, (n_cases,)."""
        with seeded(self.seed), self.explained():
            predicted: npt.NDArray[np.int64] = np.asarray(self.estimator.predict(x.astype(np.float64))).astype(np.int64)
        return predicted

    def predict_proba(self, x: npt.NDArray[np.float32], n_classes: int) -> npt.NDArray[np.float64]:
        """Return the probability of each class, (n_cases, n_classes); 0 for a class that training did not have."""
        probabilities = np.zeros((len(x), n_classes))
        with seeded(self.seed), self.explained():
            probabilities[:, np.asarray(self.estimator.classes_).astype(np.int64)] = self.estimator.predict_proba(
                x.astype(np.float64)
            )
        return probabilities

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the library raises into one line: a missing package, or its own reason."""
        try:
            yield
        except ModuleNotFoundError as error:
            raise UserError(f"{self.name} needs a package: {first_line(error)}; install it") from None

"""Time series classification with the networks of the FCN and LSTM-FCN papers, trained as the papers did.

    tsfcn.load("Coffee")                        # a Dataset: arrays, labels and passport
    tsfcn.load(X, y)                            # a Dataset of arrays of your own
    tsfcn.run(dataset="Coffee", model="fcn")    # a DataFrame: the accuracy table of what was run
    tsfcn.load_network("results/weights/KEY.safetensors")   # a network that was kept, and what is known of it
    tsfcn.models.register(MODEL)                # makes a model of one's own known (CONTRIBUTING.md, "Add a model")
    tsfcn.reproduce("fawaz2019_ucr128", "fcn", "Coffee")    # a DataFrame: whether it is the paper's number

Importing tsfcn loads neither torch nor pandas: these names are looked up when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

CLASSIFIERS = ("ALSTMFCNClassifier", "FCNClassifier", "LSTMFCNClassifier", "MLPClassifier", "ResNetClassifier")
__all__ = [  # noqa: PLE0604 (names of CLASSIFIERS are text)
    *CLASSIFIERS,
    "__version__",
    "load",
    "load_network",
    "models",
    "reproduce",
    "run",
]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tsfcn import models as models
    from tsfcn.data.user_data import load as load
    from tsfcn.models.weights import load_network as load_network
    from tsfcn.reproduce import reproduce as reproduce
    from tsfcn.run import run as run
else:  # hidden from type checkers, for which a module with __getattr__ has every attribute

    def __getattr__(name: str) -> object:
        """Return a name of __all__, imported now. Raises AttributeError for any other name, as a module must."""
        if name == "load":
            from tsfcn.data.user_data import load

            return load
        if name in CLASSIFIERS:
            from tsfcn import estimators

            return getattr(estimators, name)
        if name == "load_network":
            from tsfcn.models.weights import load_network

            return load_network
        if name in ("run", "reproduce", "models"):
            # `tsfcn.run` is also the module behind `python -m tsfcn.run`, and importing that module anywhere puts it
            # under this name for good. So the module itself is what we return: it can be called (run.make_callable).
            import importlib

            return importlib.import_module(f"tsfcn.{name}")
        raise AttributeError(f"module 'tsfcn' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names to offer: those loaded so far and those that are looked up on use."""
    return sorted({*globals(), *__all__})

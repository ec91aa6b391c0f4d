"""Time series classification with the networks of the FCN and LSTM-FCN papers, trained as in the papers.

    tsfcn.load("Coffee")                        # a Dataset: arrays, labels and passport
    tsfcn.load(X, y)                            # a Dataset of arrays of your own
    tsfcn.run("Coffee", "fcn", seeds=3)         # a DataFrame: the accuracy table of the jobs
    tsfcn.reproduce("fawaz2019_ucr128", "fcn", "Coffee")    # a DataFrame: verdicts on the numbers of a paper
    tsfcn.compare("results", "published:fawaz2019_ucr128/FCN")    # a comparison with its tests; print it to read it
    tsfcn.report("results")                     # writes one HTML page of a results folder
    tsfcn.FCNClassifier().fit(X, y).predict(X_new)    # classifiers for scikit-learn; tsfcn.sktime has those for sktime
    tsfcn.explain(classifier, X)                # class activation maps, saliency and attention of a fitted classifier
    tsfcn.load_classifier("results/weights/KEY.safetensors")    # a saved classifier, which takes raw series
    tsfcn.load_labeller("results/weights/KEY.safetensors")  # the same of task=segmentation: it labels timepoints
    tsfcn.load_network("results/weights/KEY.safetensors")   # the network of it and its metadata
    tsfcn.run("Coffee", MyNet)                  # the same for a network of your own, a class of torch.nn.Module
    tsfcn.models.register(MyNet)                # makes it known by its name, my_net (CONTRIBUTING.md, "Add a model")

Importing tsfcn loads neither torch nor pandas: these names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

CLASSIFIERS = (
    "ALSTMFCNClassifier",
    "EncoderClassifier",
    "FCNClassifier",
    "HInceptionClassifier",
    "InceptionClassifier",
    "LITEClassifier",
    "LSTMFCNClassifier",
    "MALSTMFCNClassifier",
    "MLPClassifier",
    "MLSTMFCNClassifier",
    "ResNetClassifier",
)
__all__ = [  # noqa: PLE0604 (names of CLASSIFIERS are text)
    *CLASSIFIERS,
    "__version__",
    "compare",
    "explain",
    "load",
    "load_classifier",
    "load_labeller",
    "load_network",
    "models",
    "report",
    "reproduce",
    "run",
]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tsfcn import models as models
    from tsfcn.analysis.explanation import explain as explain
    from tsfcn.data.user_data import load as load
    from tsfcn.estimators import ALSTMFCNClassifier as ALSTMFCNClassifier
    from tsfcn.estimators import EncoderClassifier as EncoderClassifier
    from tsfcn.estimators import FCNClassifier as FCNClassifier
    from tsfcn.estimators import HInceptionClassifier as HInceptionClassifier
    from tsfcn.estimators import InceptionClassifier as InceptionClassifier
    from tsfcn.estimators import LITEClassifier as LITEClassifier
    from tsfcn.estimators import LSTMFCNClassifier as LSTMFCNClassifier
    from tsfcn.estimators import MALSTMFCNClassifier as MALSTMFCNClassifier
    from tsfcn.estimators import MLPClassifier as MLPClassifier
    from tsfcn.estimators import MLSTMFCNClassifier as MLSTMFCNClassifier
    from tsfcn.estimators import ResNetClassifier as ResNetClassifier
    from tsfcn.estimators import load_classifier as load_classifier
    from tsfcn.models.weights import load_network as load_network
    from tsfcn.report.comparison_result import compare as compare
    from tsfcn.report.document import report as report
    from tsfcn.reproduce import reproduce as reproduce
    from tsfcn.run import run as run
    from tsfcn.training.labeller import load_labeller as load_labeller
else:  # hidden from type checkers, for which a module with __getattr__ has every attribute

    def __getattr__(name: str) -> object:
        """Return a name of __all__, imported now. Raises AttributeError for any other name, as a module must."""
        if name == "load":
            from tsfcn.data.user_data import load

            return load
        if name in (*CLASSIFIERS, "load_classifier"):
            from tsfcn import estimators

            return getattr(estimators, name)
        if name == "explain":
            from tsfcn.analysis.explanation import explain

            return explain
        if name == "load_labeller":
            from tsfcn.training.labeller import load_labeller

            return load_labeller
        if name == "load_network":
            from tsfcn.models.weights import load_network

            return load_network
        if name in ("compare", "models", "report", "reproduce", "run"):
            # These are modules as well (`python -m tsfcn.run`), and importing one puts it under its name into this
            # package. So the module itself is returned: it can be called (common/callable_module.py).
            import importlib

            return importlib.import_module(f"tsfcn.{name}")
        raise AttributeError(f"module 'tsfcn' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names that are loaded and those that are imported when they are first used."""
    return sorted({*globals(), *__all__})

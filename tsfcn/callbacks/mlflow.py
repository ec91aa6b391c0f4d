"""A callback that logs the epochs of a training with MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tsfcn.callbacks.library import import_library


@dataclass(frozen=True)
class MLFlowLogger:
    """Logs each epoch to the active MLflow run (`mlflow.start_run()`); MLflow starts one if there is none.

    Raises:
        UserError: MLflow is not installed.
    """

    def __post_init__(self) -> None:
        """Check that MLflow is installed before anything is trained."""
        import_library("mlflow", "mlflow")

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Log an epoch."""
        import_library("mlflow", "mlflow").log_metrics(dict(logs), step=epoch)

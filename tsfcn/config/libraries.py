"""The classifiers of libraries as models: `model=sktime model.sktime.estimator=RocketClassifier`, and aeon likewise.

A classifier brings its own training, so that of a protocol only the settings of the data have an effect on it. Its name
is looked up among the classifiers that the library itself lists (tsfcn.training.library_classifier), so that a setting
cannot name any other code. Needs neither library.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from tsfcn.common.errors import UserError
from tsfcn.config.model_config import Layer, ModelConfig
from tsfcn.config.model_spec import ModelSpec


@dataclass
class LibraryConfig(ModelConfig):
    """A classifier of a library, by the name of its class, and its parameters where they are not its defaults."""

    estimator: Optional[str] = None  # noqa: UP045 (OmegaConf 2.3 needs Optional)
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parameters are plain values."""
        try:
            json.dumps(asdict(self), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(f"params are not plain values: use numbers, text, lists and mappings ({error})") from None

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return no layers: the estimates of time and memory do not come from a network."""
        return []

    def fixed_length(self) -> bool:
        """Return True: most classifiers want all series to be of one length."""
        return True

    def row_name(self, model: str) -> str:
        """Return the library and the class, as in sktime.RocketClassifier."""
        return f"{model}.{self.estimator}"

    def changed(self) -> dict[str, Any]:
        """Return the parameters."""
        return dict(self.params)


LIBRARIES = tuple(ModelSpec(name, LibraryConfig, library=name) for name in ("sktime", "aeon"))

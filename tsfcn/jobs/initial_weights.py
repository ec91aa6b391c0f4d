"""The weights that a job starts from: those of its source, or of a file of the user (protocol.init_from).

The head is left out, so that the network has the random one that it was built with; all layers are trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tsfcn.common.arguments import expand_home
from tsfcn.common.errors import UserError
from tsfcn.common.text import counted
from tsfcn.jobs import artifacts, cost
from tsfcn.jobs.plan import Job

if TYPE_CHECKING:
    from tsfcn.training.loop import Start


def file_key(path: str) -> str:
    """Return the digest of a weights file, 16 hexadecimal digits, by which a results folder keeps it.

    Raises UserError for a file that cannot be read, or is not of tsfcn.
    """
    return read_file(path)[0]


def read_file(path: str) -> tuple[str, dict[str, str]]:
    """Return the digest of a weights file as `file_key` does, and its metadata."""
    from tsfcn.models import weights

    metadata, tensors = weights.read(expand_home(path))
    if "architecture" not in metadata:
        raise UserError(f"weights '{path}' are not of tsfcn, which writes an architecture: give a file that it saved")
    return (metadata.get("digest") or weights.digest(tensors, metadata))[:16], metadata


def check_file(path: str, metadata: Mapping[str, str], job: Job) -> None:
    """Raise UserError unless a job can start from a weights file: the same network, and series of its shape.

    Args:
        path: The file, for the message.
        metadata: Of the file.
        job: On a dataset that is there.
    """
    from tsfcn.models import weights

    with weights.metadata_errors(path):
        check_network(f"weights '{path}'", metadata, job)
        shape = int(metadata["n_channels"]), int(metadata["n_timepoints"])
    check_shapes(f"file '{path}'", *shape, job)


def check_network(named: str, metadata: Mapping[str, str], job: Job) -> None:
    """Raise UserError unless weights are of the network of a job. named: what they are called in the message."""
    if (metadata["architecture"], json.loads(metadata["model_settings"])) != (job.architecture, job.model_settings):
        raise UserError(f"{named} are of {metadata['model']}, not {job.model}: name weights of this network")


def keep_file(path: str, results: Path) -> None:
    """Copy a weights file into a results folder, where workers look for it. Raises errors as `file_key`."""
    place = artifacts.weights_path(results, file_key(path))
    if not place.is_file():
        artifacts.write_weights(results, place.stem, Path(expand_home(path)).read_bytes())


def check_shapes(source: str, n_channels: int, n_timepoints: int, target: Job) -> None:
    """Raise UserError where a network that was trained on the source cannot take the series of the target.

    Args:
        source: What the source is called in the message.
        n_channels: Of the series of the source.
        n_timepoints: Of these.
        target: The job that would start from it.
    """
    here, pair = cost.sizes(target), f"{source} is no source for {target.dataset}"
    if n_channels != here.n_channels:
        raise UserError(
            f"{pair}: it has {counted(n_channels, 'channel')}, and not {here.n_channels}; name another source"
        )
    if target.model_config().fixed_length() and n_timepoints != here.length:
        raise UserError(
            f"{pair}: {target.architecture} takes one length, and they have {n_timepoints} and {here.length} "
            "timepoints; use a network that takes any length, as fcn"
        )


def start_of(job: Job, results: Path) -> Start | None:
    """Return the weights that the training of a job starts from: those of its source without the head.

    Raises UserError where they are not there, damaged, or of another network.
    """
    from tsfcn.models import registry, weights
    from tsfcn.training.loop import Start

    if job.source is None:
        return None
    path, name = artifacts.weights_path(results, job.source["key"]), job.settings["init_from"]
    if not path.is_file():
        raise UserError(f"the weights of the source {name} are not in '{path}': see whether its training failed")
    metadata, tensors = weights.read(path)
    with weights.metadata_errors(path):
        key = metadata["key"] if name.startswith("dataset:") else metadata["digest"][:16]
        if key != job.source["key"]:
            raise UserError(f"weights '{path}' are of another job or file: delete them, and start the run again")
        check_network(f"the weights of the source {name}", metadata, job)
        n_classes = len(json.loads(metadata["labels"])["values"])
        sizes = int(metadata["n_channels"]), int(metadata["n_timepoints"]), n_classes, int(metadata["cells"])
        head = registry.head(job.architecture, job.model_config(), *sizes)
    body = {n: value for n, value in tensors.items() if n not in head and not n.endswith("num_batches_tracked")}
    return Start(body, cells=sizes[-1])

"""Checkpoints: the state of a training that takes long, so that a crash costs minutes of it and not all.

    results/checkpoints/KEY.pt   a line with the SHA-256 digest of what follows, then tensors and plain values, written
                                 by torch.save and read without running any code in it

The state is all that the rest of the training follows from: network, optimiser, random generators, learning rate,
selected weights, curve, and the LSTM sizes already trained. Continued from it a training ends with the same bits, on
the same kind of processor, as without the interruption.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from tsfcn.common import files
from tsfcn.common.errors import first_line

State = dict[str, Any]

UNREADABLE = (OSError, EOFError, RuntimeError, pickle.PickleError)  # what torch.load raises for a broken file
LAYOUT = 5  # of the state; raise it when train or engine put other things in it


class Stopped(Exception):
    """The training was asked to stop, and its state is on disk."""


class Checkpoint:
    """The checkpoint of one job: where its training goes on, and where its state is kept meanwhile.

    about: what must be equal for a state to be of use (key, versions); every_seconds: how often the state is written,
    0: after every epoch; hardware: what this process trains on; stop: asked after each epoch, True ends the training
    with Stopped; clock: the processor time in seconds, from any start, of the process or the thread that trains.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, str | int],
        every_seconds: float,
        hardware: str = "",
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.path = path
        self.about = {
            name: str(value) for name, value in {"layout": LAYOUT, **about}.items()
        }  # plain, to be read again
        self.every_seconds = every_seconds
        self.stop = stop
        self.clock = clock
        self.started = self.kept = time.monotonic()
        self.processor_started = clock()
        self.seconds_before = 0.0  # of training, in earlier processes
        self.processor_seconds_before: float | None = 0.0  # the same in processor time; None: not in the state
        self.resumed: list[int] = []  # the epochs, counted over all LSTM sizes, after which training was taken up again
        self.here = hardware
        self.hardware: list[str] = []  # that earlier processes trained on
        self.begin = self.read()

    def read(self) -> State | None:
        """Return the state to go on from, or None, with a word on stderr where there is one that cannot be used."""
        if not self.path.is_file():
            return None
        try:
            found: State = torch.load(io.BytesIO(_verified(self.path)), map_location="cpu", weights_only=True)
            about = found["about"]
            differing = [name for name, value in self.about.items() if about.get(name) != value]
            self.seconds_before, self.resumed = float(found["seconds"]), [*found["resumed"], found["epoch"]]
            self.hardware = list(found["hardware"])
            processor_seconds = found.get("processor_seconds")  # absent in older states
            self.processor_seconds_before = None if processor_seconds is None else float(processor_seconds)
        except (*UNREADABLE, KeyError, TypeError, ValueError, AttributeError):
            differing = ["cannot be read"]
        if not differing:
            return found
        self.seconds_before, self.processor_seconds_before, self.resumed, self.hardware = 0.0, 0.0, [], []
        print(f"{self.path}: not of this job ({', '.join(differing)}): training starts anew", file=sys.stderr)
        return None

    def train_seconds(self) -> float:
        """Return the seconds of training so far, those of earlier processes included."""
        return self.seconds_before + time.monotonic() - self.started

    def train_processor_seconds(self) -> float | None:
        """Return the same in processor time; None where that of earlier processes is unknown."""
        if self.processor_seconds_before is None:
            return None
        return self.processor_seconds_before + self.clock() - self.processor_started

    def epoch_ended(self, state: Callable[[], State]) -> None:
        """Write the state if it is time to. Raises Stopped, when it is on disk, if the training has to stop.

        The state's `epoch` counts those that are done. A disk that is full costs the checkpoint, not the training.
        """
        stop = self.stop()
        if not stop and time.monotonic() - self.kept < self.every_seconds:
            return
        now = state()
        about = {"about": self.about, "seconds": self.train_seconds(), "resumed": self.resumed}
        about["processor_seconds"] = self.train_processor_seconds()
        whole = {**now, **about, "hardware": [*self.hardware, self.here]}
        try:
            files.replace(self.path, lambda file: write_state(whole, file))
        except (OSError, RuntimeError) as error:  # torch tells a failed write as the latter
            print(f"{self.path}: no checkpoint was written: {first_line(error)}", file=sys.stderr)
        self.kept = time.monotonic()
        if stop:
            raise Stopped


def write_state(state: State, file: BinaryIO) -> None:
    """Write a state behind its digest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode() + b"\n")
    file.write(buffer.getbuffer())


def _verified(path: Path) -> bytes:
    """Return what stands behind the digest of a file. Raises ValueError if the two do not belong together."""
    digest, _, data = path.read_bytes().partition(b"\n")
    if digest.decode("ascii", "replace") != hashlib.sha256(data).hexdigest():
        raise ValueError("the digest does not match")
    return data

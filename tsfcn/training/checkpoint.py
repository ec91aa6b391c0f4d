"""Checkpoints: the state of a long training, so that a crash costs minutes and not the whole training.

    results/checkpoints/KEY.pt   a line with the SHA-256 digest of the rest, then tensors and plain values, written by
                                 torch.save and read without running code

The state holds everything that the rest of the training depends on: network, optimiser, random generators, learning
rate, selected weights, curve, and the LSTM sizes and rounds of refinement that are already trained. A training that is
resumed from it ends with the same bits as one that was not interrupted, on the same kind of processor.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch

from tsfcn.common import files
from tsfcn.common.errors import first_line

State = dict[str, Any]

UNREADABLE = (OSError, EOFError, RuntimeError, pickle.PickleError)  # what torch.load raises for a broken file
LAYOUT = 6  # of the state; raise it when the reference loop or an engine stores other things in it


class Stopped(Exception):
    """The training was asked to stop, and its state has been written."""


class SavedState(Protocol):
    """Where a training, or a part of one, resumes from, and what keeps its state."""

    @property
    def resume_state(self) -> State | None:
        """The state to resume from; None: the training starts from the beginning."""

    def on_epoch_end(self, state: Callable[[], State]) -> None:
        """Keep the state if it is due. Raises Stopped, after that, if the training has to stop."""


class Checkpoint:
    """The checkpoint of one job: the state to resume from, and the file that new states are written to.

    Args:
        path: The file.
        about: What must be equal for a stored state to be used (key, versions).
        every_seconds: The least time between two writes; 0: the state is written after every epoch.
        hardware: What this process trains on.
        stop: Called after each epoch; the training ends with `Stopped` when it returns True.
        clock: The processor time in seconds, from any start, of the process or the thread that trains.
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
        self.about = {name: str(value) for name, value in {"layout": LAYOUT, **about}.items()}  # as stored: text
        self.every_seconds = every_seconds
        self.stop = stop
        self.clock = clock
        self.started = self.last_write = time.monotonic()
        self.processor_started = clock()
        self.seconds_before = 0.0  # of training in earlier processes
        self.processor_seconds_before: float | None = 0.0  # the same in processor time; None: the state lacks it
        self.resumed: list[int] = []  # the epochs, counted over all LSTM sizes, after which the training was resumed
        self.this_hardware = hardware
        self.hardware: list[str] = []  # of earlier processes
        self.resume_state = self.read()

    def read(self) -> State | None:
        """Return the stored state, or None. A state that cannot be used is reported in one line on stderr."""
        if not self.path.is_file():
            return None
        try:
            state: State = torch.load(io.BytesIO(_verified(self.path)), map_location="cpu", weights_only=True)
            about = state["about"]
            differing = [name for name, value in self.about.items() if about.get(name) != value]
            seconds, resumed = float(state["seconds"]), [*state["resumed"], state["epoch"]]
            hardware, processor_seconds = (
                list(state["hardware"]),
                state.get("processor_seconds"),
            )  # absent in older ones
            processor_seconds = None if processor_seconds is None else float(processor_seconds)
        except (*UNREADABLE, KeyError, TypeError, ValueError, AttributeError):
            reason = "it cannot be read"
        else:
            if not differing:
                self.seconds_before, self.processor_seconds_before = seconds, processor_seconds
                self.resumed, self.hardware = resumed, hardware
                return state
            reason = f"it is of another {', '.join(differing)}"
        print(f"checkpoint '{self.path}' is not used, {reason}: training starts from the beginning", file=sys.stderr)
        return None

    def train_seconds(self) -> float:
        """Return the seconds of training so far, including those of earlier processes."""
        return self.seconds_before + time.monotonic() - self.started

    def train_processor_seconds(self) -> float | None:
        """Return the same in processor time; None where that of earlier processes is unknown."""
        if self.processor_seconds_before is None:
            return None
        return self.processor_seconds_before + self.clock() - self.processor_started

    def on_epoch_end(self, state: Callable[[], State]) -> None:
        """Write the state if it is due. Raises Stopped, after the state is written, if the training has to stop.

        The state's `epoch` is the number of epochs done. If the disk is full, the training goes on without a checkpoint
        and says so on stderr.
        """
        stop = self.stop()
        if not stop and time.monotonic() - self.last_write < self.every_seconds:
            return
        training = state()
        about = {"about": self.about, "seconds": self.train_seconds(), "resumed": self.resumed}
        about["processor_seconds"] = self.train_processor_seconds()
        content = {**training, **about, "hardware": [*self.hardware, self.this_hardware]}
        try:
            files.replace(self.path, lambda file: write_state(content, file))
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a failed write
            print(f"checkpoint '{self.path}' was not written: {first_line(error)}", file=sys.stderr)
        self.last_write = time.monotonic()
        if stop:
            raise Stopped


def write_state(state: State, file: BinaryIO) -> None:
    """Write a state after a line with its digest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode() + b"\n")
    file.write(buffer.getbuffer())


def _verified(path: Path) -> bytes:
    """Return the content of a file after its digest. Raises ValueError if the digest does not match."""
    digest, _, data = path.read_bytes().partition(b"\n")
    if digest.decode("ascii", "replace") != hashlib.sha256(data).hexdigest():
        raise ValueError("the digest does not match")
    return data

"""One contestant of benchmarks/peers.py, in a process of its own: `contestant.py NAME THREADS`.

Each line on standard input is a training, `{"case": FILE, "batch": N, "epochs": N, "turn": N}`, where FILE is an .npz
with x_train, y_train, x_test, y_test. The process trains two epochs, and then `turn` epochs at a time; before each turn
it waits for a line. It answers with lines of JSON on standard output: the seconds of the epochs of a turn, and at the
end the accuracy on the test cases and the peak memory. The script imports only what the contestant needs, since it also
runs in environments without tsfcn.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

WARM = 2  # epochs before the first turn
Accuracy = float


class Pause:
    """Called at the end of every epoch: reports the time of a turn, and waits for the next turn."""

    def __init__(self, turn: int, epochs: int) -> None:
        self.turn, self.epochs, self.done = turn, epochs, 0
        self.seconds: list[float] = []
        self.since = time.perf_counter()

    def begin(self, *_: object) -> None:
        """Start the time of an epoch."""
        self.since = time.perf_counter()

    def __call__(self, *_: object) -> None:
        """End an epoch."""
        self.seconds.append(time.perf_counter() - self.since)
        self.done += 1
        if self.done >= WARM and (self.done - WARM) % self.turn == 0:
            send({"seconds": self.seconds, "time": time.time()})
            self.seconds = []
            if self.done < self.epochs:
                receive()
        self.since = time.perf_counter()


def send(message: dict[str, Any]) -> None:
    """Write a line of JSON to standard output."""
    os.write(ANSWERS, json.dumps(message).encode() + b"\n")


def receive() -> dict[str, Any]:
    """Return the next request; end the process if there are no more."""
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    request: dict[str, Any] = json.loads(line)
    return request


# ---------------------------------------------------------------------------------------------------------------------
# tsfcn


def tsfcn(model: str, engine: str, precision: str, n_seeds: int, data: Any, batch: int, pause: Pause) -> Accuracy:
    """Train with one of the engines, and return the accuracy of the first seed.

    Args:
        model: fcn or lstm_fcn.
        engine: reference or fast.
        precision: Of the fast engine.
        n_seeds: The trainings that are stacked by the fast engine.
        data: The arrays of the case.
        batch: The size of a batch.
        pause: Called after every epoch.
    """
    from dataclasses import replace

    import torch

    from tsfcn.config import models
    from tsfcn.config import protocol as config
    from tsfcn.config.compose import compose
    from tsfcn.training import predict, reference
    from tsfcn.training.fused import stacked as fast

    shape = models.FCNConfig() if model == "fcn" else models.LSTMFCNConfig()
    protocol = compose([f"protocol={'fawaz2019' if model == 'fcn' else 'karim2019'}"])[0].protocol
    settings = config.settings(protocol, model, shape)
    settings = replace(settings, epochs=pause.epochs, batch_size=batch, batch_divisor=0)
    x, x_test = (torch.from_numpy(data[name]).float().unsqueeze(1) for name in ("x_train", "x_test"))
    y = torch.from_numpy(data["y_train"])
    arguments = (model, shape, settings, x, y, int(y.max()) + 1)
    cells = 0 if model == "fcn" else 8
    if engine == "reference":
        fit = reference.fit(*arguments, 0, cells=cells, progress=pause)
    else:
        trainings = [(seed, cells) for seed in range(n_seeds)]
        fit = fast.fit(*arguments, trainings, precision=precision, progress=pause)[0]
    network = fit.load("least_train_loss")
    return predict.accuracy(predict.predict(network, x_test), torch.from_numpy(data["y_test"]))


# ---------------------------------------------------------------------------------------------------------------------
# A textbook loop


def textbook(model: str, data: Any, batch: int, pause: Pause) -> Accuracy:
    """Train with autograd, a DataLoader, Adam and ReduceLROnPlateau, and keep the best state, as tutorials do.

    Args:
        model: fcn or lstm_fcn.
        data: The arrays of the case.
        batch: The size of a batch.
        pause: Called after every epoch.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    def block(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
        convolution = nn.Conv1d(n_in, n_out, kernel, padding="same")
        return nn.Sequential(convolution, nn.BatchNorm1d(n_out, eps=1e-3, momentum=0.01), nn.ReLU())

    class Network(nn.Module):
        def __init__(self, length: int, n_classes: int) -> None:
            super().__init__()
            self.blocks = nn.Sequential(block(1, 128, 8), block(128, 256, 5), block(256, 128, 3))
            self.lstm = nn.LSTM(length, 8, batch_first=True) if model != "fcn" else None
            self.dropout = nn.Dropout(0.8)
            self.head = nn.Linear(128 + (0 if self.lstm is None else 8), n_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features = self.blocks(x).mean(dim=2)
            if self.lstm is not None:  # after the dimension shuffle: one step of all timepoints
                features = torch.cat([self.dropout(self.lstm(x)[0][:, -1]), features], dim=1)
            out: torch.Tensor = self.head(features)
            return out

    torch.manual_seed(0)
    x, x_test = (torch.from_numpy(data[name]).float().unsqueeze(1) for name in ("x_train", "x_test"))
    y, y_test = torch.from_numpy(data["y_train"]), torch.from_numpy(data["y_test"])
    network = Network(x.shape[2], int(y.max()) + 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=50, min_lr=1e-4)
    criterion = nn.CrossEntropyLoss()
    best, state = float("inf"), network.state_dict()
    pause.begin()
    for _ in range(pause.epochs):
        network.train()
        total = 0.0
        for x_batch, y_batch in loader:
            optimizer.zero_grad()
            loss = criterion(network(x_batch), y_batch)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x_batch)
        if total < best:
            best, state = total, copy.deepcopy(network.state_dict())
        plateau.step(total / len(x))
        pause()
    network.load_state_dict(state)
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(part) for part in x_test.split(64)]).argmax(dim=1)
    return float((predicted == y_test).float().mean())


# ---------------------------------------------------------------------------------------------------------------------
# Other libraries


def aeon(data: Any, batch: int, pause: Pause) -> Accuracy:
    """Train aeon's FCNClassifier. The times do not include its checkpoint after every better epoch."""
    import tensorflow as tf
    from aeon.classification.deep_learning import FCNClassifier

    class Epochs(tf.keras.callbacks.Callback):  # type: ignore[misc] # has no types
        def on_epoch_begin(self, *_: object) -> None:
            pause.begin()

        def on_epoch_end(self, *_: object) -> None:
            pause()

    plateau = tf.keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=50, min_lr=0.0001)
    with tempfile.TemporaryDirectory() as folder:
        classifier = FCNClassifier(
            n_epochs=pause.epochs,
            batch_size=batch,
            callbacks=[Epochs(), plateau],
            file_path=folder + "/",
            random_state=0,
        )
        classifier.fit(data["x_train"][:, None], data["y_train"])
    return float(classifier.score(data["x_test"][:, None], data["y_test"]))


def sktime(model: str, data: Any, batch: int, pause: Pause) -> Accuracy:
    """Train sktime's PyTorch network, whose LSTM runs over the timepoints, without the dimension shuffle.

    Args:
        model: fcn or lstm_fcn.
        data: The arrays of the case.
        batch: The size of a batch.
        pause: Called after every epoch.
    """
    from sktime.classification.deep_learning import FCNClassifierTorch
    from sktime.classification.deep_learning.lstmfcn import LSTMFCNClassifierTorch

    classifier_class = FCNClassifierTorch if model == "fcn" else LSTMFCNClassifierTorch
    classifier = classifier_class(num_epochs=pause.epochs, batch_size=batch, random_state=0, lr=0.001)
    original = classifier._run_epoch

    def run_epoch(*arguments: object) -> None:
        pause.begin()
        original(*arguments)
        pause()

    classifier._run_epoch = run_epoch
    classifier.fit(data["x_train"][:, None], data["y_train"])
    return float(classifier.score(data["x_test"][:, None], data["y_test"]))


# ---------------------------------------------------------------------------------------------------------------------
# The machine's ceiling


def ceiling(precision: str, data: Any, batch: int, pause: Pause) -> Accuracy:
    """Measure the GFLOP/s of products and convolutions of several shapes, without a training and an accuracy.

    Args:
        precision: float32 or bfloat16.
        data: Not used.
        batch: Not used.
        pause: Called after every measurement.
    """
    import torch
    import torch.nn.functional as F

    dtype = getattr(torch, precision)
    flop, run = [], []
    for rows, inner, columns in ((1024, 1024, 1024), (2048, 2048, 512), (2400, 640, 256), (2400, 256, 640)):
        one, other = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        out = torch.empty(rows, columns, dtype=dtype)
        flop.append(2.0 * rows * inner * columns)
        run.append(functools.partial(torch.mm, one, other, out=out))
    for n, c_in, c_out, length, kernel in ((16, 128, 256, 150, 5), (64, 128, 256, 512, 5)):
        series, kernels = torch.randn(n, c_in, 1, length).to(dtype), torch.randn(c_out, c_in, 1, kernel).to(dtype)
        series = series.to(memory_format=torch.channels_last)
        flop.append(2.0 * n * c_in * c_out * length * kernel)
        run.append(functools.partial(F.conv2d, series, kernels, padding=(0, kernel // 2)))
    for _ in range(pause.epochs):
        rates = []
        for count, function in zip(flop, run, strict=True):
            taken = []
            for _ in range(12):
                since = time.perf_counter()
                function()
                taken.append(time.perf_counter() - since)
            rates.append(count / sorted(taken)[len(taken) // 2])
        pause.since = time.perf_counter() - 1e9 / max(rates)  # reported as the seconds of 10^9 FLOP
        pause()
    return float("nan")


CONTESTANTS: dict[str, Callable[[Any, int, Pause], Accuracy]] = {
    "ceiling float32": functools.partial(ceiling, "float32"),
    "ceiling bfloat16": functools.partial(ceiling, "bfloat16"),
    "textbook FCN": functools.partial(textbook, "fcn"),
    "aeon FCN": aeon,
    "sktime FCN": functools.partial(sktime, "fcn"),
    "reference FCN": functools.partial(tsfcn, "fcn", "reference", "float32", 1),
    "fast FCN": functools.partial(tsfcn, "fcn", "fast", "float32", 1),
    "fast FCN, 5 seeds": functools.partial(tsfcn, "fcn", "fast", "float32", 5),
    "fast FCN, bfloat16": functools.partial(tsfcn, "fcn", "fast", "bfloat16", 1),
    "fast FCN, bfloat16, 5 seeds": functools.partial(tsfcn, "fcn", "fast", "bfloat16", 5),
    "textbook LSTM-FCN": functools.partial(textbook, "lstm_fcn"),
    "sktime LSTM-FCN": functools.partial(sktime, "lstm_fcn"),
    "reference LSTM-FCN": functools.partial(tsfcn, "lstm_fcn", "reference", "float32", 1),
    "fast LSTM-FCN": functools.partial(tsfcn, "lstm_fcn", "fast", "float32", 1),
    "fast LSTM-FCN, bfloat16": functools.partial(tsfcn, "lstm_fcn", "fast", "bfloat16", 1),
}


def peak_memory() -> float:
    """Return the peak resident memory of this process in MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main(name: str, threads: int) -> None:
    """Answer requests until there are no more."""
    import numpy as np

    if name == "aeon FCN":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    else:
        import torch

        torch.set_num_threads(threads)
    while True:
        request = receive()
        with np.load(request["case"]) as file:
            data = {key: file[key] for key in file.files}
        pause = Pause(request["turn"], request["epochs"])
        accuracy = CONTESTANTS[name](data, request["batch"], pause)
        send({"accuracy": accuracy, "memory": peak_memory()})


if __name__ == "__main__":
    ANSWERS = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints
    os.environ["OMP_NUM_THREADS"] = sys.argv[2]
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    main(sys.argv[1], int(sys.argv[2]))

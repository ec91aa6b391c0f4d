"""Estimates of the time and the memory of a job: the time from a count of its work and from what earlier jobs took.

A job's time is a sum of few terms, each a count (`work`) times a rate. Before there are records the rates are those of
one core of a few years ago (`PRIORS`). Records of the same hardware, engine, precision and network correct them
(`Model`), the rates of other networks on that hardware are the next best guess. Good for a plan, an order and an
estimate of what is left; nothing that is trained depends on it.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tsfcn.common.device import kind
from tsfcn.common.errors import UserError
from tsfcn.config import model_spec, protocol
from tsfcn.config.model_config import Layer
from tsfcn.config.segmentation_models import STRIDE
from tsfcn.data.catalogue import CATALOGUE
from tsfcn.data.preprocess import truncated_length
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record
from tsfcn.training.select_engine import EngineChoice, select_engine

TERMS = ("flop", "predicted", "traffic", "layer_steps", "lstm_steps", "epochs", "jobs")
PRIOR = np.array([1 / 5.5e10, 1 / 8e10, 1 / 6e9, 6e-4, 2e-4, 3e-4, 0.6])  # seconds for one of each
PRIORS = {  # of engine and precision, as they are to each other on one core; PRIOR is that of any other
    ("reference", "float32"): PRIOR,
    ("fast", "float32"): np.array([1 / 1.75e11, 1 / 8e10, 1 / 3e8, 7e-5, 2e-4, 2e-4, 0.6]),
    ("fast", "bfloat16"): np.array([1 / 7.5e11, 1 / 8e10, 1 / 4e8, 7e-5, 2e-4, 2e-4, 0.6]),
}

GPU_PRIOR = np.array([1 / 1e13, 1 / 2e13, 1 / 4e11, 8e-4, 3e-4, 3e-4, 1.0])  # of any way on a GPU but these
GPU_PRIORS = {  # rough: of a GPU of 2023 in a data centre
    ("reference", "float32"): GPU_PRIOR,
    ("fast_cuda", "float32"): np.array([1 / 3e13, 1 / 2e13, 1 / 4e11, 2.3e-5, 5e-5, 2e-4, 1.0]),
    ("fast_cuda", "bfloat16"): np.array([1 / 1.5e14, 1 / 2e13, 1 / 4e11, 2.3e-5, 5e-5, 2e-4, 1.0]),
}
SIDE_BY_SIDE = 4  # jobs on one GPU that are as fast as each alone; more help little

PRIOR_SPREAD = 0.8  # of the logarithm of a rate: how far we expect the prior to be off
RECORD_SPREAD = 0.12  # of the logarithm of a job's time around what its work says
RECENT = 400  # records of a network that a model is fitted to


@dataclass(frozen=True)
class Sizes:
    """The shape of a dataset as it is trained."""

    n_train: int
    n_test: int
    n_channels: int
    length: int  # timepoints
    n_classes: int


def sizes(job: Job | Record) -> Sizes:
    """Return the sizes of a job's dataset as it is trained; an unknown one counts as GunPoint.

    They are those of its passport or the catalogue, with fewer timepoints under protocol.truncate; in dense labelling
    those of the streams.
    """
    entry, passport = CATALOGUE.get(job.dataset, CATALOGUE["GunPoint"]), job.passport
    size = Sizes(
        int(passport.get("n_train", entry.n_train)),
        int(passport.get("n_test", entry.n_test)),
        int(passport.get("n_channels", entry.n_channels)),
        truncated_length(int(passport.get("length", entry.length) or 0), job.settings.get("truncate", 1.0)),
        int(passport.get("n_classes", entry.n_classes)),
    )
    if job.task is None or "kind" in passport:
        return size
    n_drawn = max(size.n_train * job.task["passes"], size.n_test)
    n_cases = min(job.task["cases"], n_drawn)  # of a stream, each with half of the longest gap on average
    return replace(
        size,
        n_train=math.ceil(size.n_train * job.task["passes"] / n_cases),
        n_test=math.ceil(size.n_test / n_cases),
        length=round(size.length * n_cases * (1 + job.task["gap"] / 2)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Time


def layers(job: Job, n_channels: int, length: int) -> list[Layer]:
    """Return the convolutions and dense layers of a job's network, in order, as its settings declare them."""
    return job.model_config().layers(n_channels, length)


def macs(job: Job, n_channels: int, length: int) -> float:
    """Return the multiplications of one case's forward pass, without the LSTM branch (small if shuffled)."""
    return float(sum(layer.n_multiplications for layer in layers(job, n_channels, length)))


def work(job: Job) -> np.ndarray:
    """Return how much of each of TERMS a job has, float64.

    flop: of forward and backward passes; predicted: of passes in inference mode; traffic: values that activations and
    parameters write; steps of the optimiser, once for each layer; steps of an LSTM within those; epochs; and the job.
    """
    size = sizes(job)
    if job.library:  # before there are records, 10,000 convolutions, as ROCKET takes
        values = float((size.n_train + size.n_test) * size.n_channels * size.length)
        return np.array([0.0, 2e5 * values, 0.0, 0.0, 0.0, 0.0, 1.0])
    if job.task is not None:
        return segmentation_work(job)
    settings = job.resolved()
    n_fit = max(1, size.n_train - round(settings.validation * size.n_train))
    n_fits = max(1, len(settings.cells))
    rounds = [settings.refinement(number + 1, n_fit, 0) for number in range(settings.refine_rounds)]
    epochs = settings.epochs * n_fits + sum(each.epochs for each in rounds)  # the rounds train one LSTM size
    steps = sum(each.epochs * math.ceil(n_fit / each.batch(n_fit)) for each in [settings] * n_fits + rounds)
    cases = epochs * n_fit
    network = layers(job, size.n_channels, size.length)
    flop = 6.0 * macs(job, size.n_channels, size.length) * cases
    values = float(sum(layer.n_activations for layer in network))
    n_parameters = float(sum(layer.n_weights for layer in network))
    lstm_steps, n_lstm = 0.0, 0.0
    lstm = job.model_config().lstm(size.n_channels, size.length)
    if lstm is not None:
        n_steps, features, attention = lstm.n_steps, lstm.n_features, lstm.attention
        for cells in settings.cells:
            per_step = 4 * cells * (features * (2 if attention else 1) + cells)
            if attention:
                per_step += cells * (features + 2 * cells + 3 * n_steps)
            flop += 6 * per_step * n_steps * cases / n_fits
            n_lstm += per_step / n_fits
        lstm_steps = steps * n_steps * (2.0 if attention else 1.0)
    traffic = values * cases + (n_parameters + n_lstm) * steps
    evaluated = float(n_fit + size.n_test)  # with the weights that are kept
    if settings.validation > 0:  # held-out cases are predicted after every epoch
        evaluated += (size.n_train - n_fit) * epochs / n_fits
    if settings.select == "test_oracle":
        evaluated += size.n_test * settings.epochs
    predicted = 2.0 * macs(job, size.n_channels, size.length) * evaluated * n_fits
    return np.array([flop, predicted, traffic, steps * max(1, len(network)), lstm_steps, epochs, 1.0])


def segmentation_work(job: Job) -> np.ndarray:
    """Return the work of a job of dense labelling: of its stages, as `work` counts them on cases as long as streams."""
    assert job.task is not None
    earlier = [
        replace(job, architecture=each["model"], model_settings=each["config"], settings=each["settings"])
        for each in job.task["stages"]
    ]
    size = sizes(job)
    passport = {name: getattr(size, name) for name in ("n_train", "n_test", "n_channels", "length", "n_classes")}
    parts = [work(replace(each, task=None, passport=passport)) for each in [*earlier, job]]
    window = CATALOGUE.get(job.dataset, CATALOGUE["GunPoint"]).length or STRIDE
    repeats = {"network": 1.0, "shift_and_stitch": STRIDE, "sliding": window / job.task["window_step"]}
    predicted = float(parts[-1][1]) * repeats[job.task["labelling"]]
    total = np.sum(parts, axis=0)
    total[TERMS.index("predicted")], total[TERMS.index("jobs")] = predicted, 1.0
    return np.asarray(total)


Setup = tuple[str, str]  # engine, or classifier of a library, and precision


def way(engine: str, job: Job) -> str:
    """Return what decides how long the same work takes: the engine, or the classifier of a library."""
    return job.model if job.library else engine


class Model:
    """Estimates the time of jobs on one hardware from what its records took.

    hardware: what the hardware of its records begins with. engine: of schema.ENGINES, as the run has it. device:
    torch's name of where it trains; records of another kind of device teach nothing. Rates are
    learned from the general to the particular, for each way to train (engine and precision) by itself: the prior, the
    records of other hardware, those of this, those of the network; each level starts from the one before and
    multiplies its rates by factors that maximise the likelihood of the logarithms of the times, with PRIOR_SPREAD and
    RECORD_SPREAD. So one record scales all, and many tell the terms apart. The prior of a way without records is as
    many times too slow or too fast as this hardware's records show those of other ways to be.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        hardware: str = "",
        engine: str = "reference",
        device: str = "cpu",
    ) -> None:
        self.hardware, self.engine, self.device = hardware, engine, device
        on_cpu = kind(device) == "cpu"
        self.priors, self.any_prior = (PRIORS, PRIOR) if on_cpu else (GPU_PRIORS, GPU_PRIOR)
        # By engine and precision, whether it is this hardware, and network: the latest records.
        self.observed: dict[tuple[Setup, bool, str], deque[Record]] = {}
        self.rates: dict[tuple[Setup, str], np.ndarray] = {}
        # By group and sizes: seeds take the same time, and plan, queue and monitor ask for the same jobs.
        self.choices: dict[tuple[str, Sizes], EngineChoice] = {}
        # By what it follows from. Jobs share their settings, whose identity lasts as long as the job beside the work.
        self.works: dict[tuple[str, Sizes, int, int, int], tuple[Job | Record, np.ndarray]] = {}
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a record into account, if it is an `ok` one of a training. Its seconds are those of `Record.seconds`."""
        known = model_spec.find(record.architecture)  # None: from outside, and not installed here
        is_training = record.is_ok and bool(record.engine) and (record.seconds("train") or 0) > 0
        if known is None or not is_training or kind(record.device) != kind(self.device):
            return
        setup = record.model if known.library else record.engine, record.precision
        key = setup, record.hardware.startswith(self.hardware), record.architecture
        self.observed.setdefault(key, deque(maxlen=RECENT)).append(record)
        self.rates.clear()

    def work(self, job: Job | Record) -> np.ndarray:
        """Return the work of a job."""
        place = job.architecture, sizes(job), id(job.model_settings), id(job.settings), id(job.task)
        if place not in self.works:
            self.works[place] = job, work(job.job if isinstance(job, Record) else job)
        return self.works[place][1]

    def observations(
        self, setup: Setup, this_hardware: bool, architecture: str = ""
    ) -> tuple[list[np.ndarray], list[float]]:
        """Return the work and the times of the latest records of this hardware, or of others, of one network or all."""
        works, times = [], []
        for (key, is_this_hardware, name), records in self.observed.items():
            if (key, is_this_hardware) == (setup, this_hardware) and architecture in ("", name):
                for record in records:
                    # Not where the settings are such as this version does not know.
                    with contextlib.suppress(TypeError, ValueError, ArithmeticError, KeyError):
                        works.append(self.work(record))
                        times.append((record.seconds("train") or 0.0) + (record.seconds("test") or 0.0))
        return works, times

    def prior(self, setup: Setup) -> np.ndarray:
        """Return the rates from which those of an engine and precision are learned."""
        prior = self.priors.get(setup, self.any_prior)
        if any(key == setup for key, _, _ in self.observed):
            return prior
        off = [
            np.log(times) - np.log(np.array(works) @ self.priors[key])
            for key in {key for key, is_this_hardware, _ in self.observed if is_this_hardware and key in self.priors}
            for works, times in [self.observations(key, True)]
            if works
        ]
        return prior * float(np.exp(np.median(np.concatenate(off)))) if off else prior

    def rate(self, setup: Setup, architecture: str) -> np.ndarray:
        """Return the seconds for one of each of TERMS, for an engine and precision and a network."""
        if (setup, "") not in self.rates:
            others = fit_rates(*self.observations(setup, False), self.prior(setup))
            self.rates[setup, ""] = fit_rates(*self.observations(setup, True), others)
        if (setup, architecture) not in self.rates:
            observations = self.observations(setup, True, architecture)
            self.rates[setup, architecture] = fit_rates(*observations, self.rates[setup, ""])
        return self.rates[setup, architecture]

    def choice(self, job: Job) -> EngineChoice:
        """Return which engine will train a job here."""
        if job.library:
            return EngineChoice(job.library, job.precision, "cpu")
        size = sizes(job)
        if (job.group, size) not in self.choices:
            self.choices[job.group, size] = select_engine(
                *(job.architecture, job.model_config(), job.resolved(), self.engine),
                precision=job.precision,
                n_timepoints=size.length,
                device=self.device,
            )
        return self.choices[job.group, size]

    def setup(self, job: Job) -> Setup:
        """Return the engine and precision that a job will be trained with here."""
        return way(self.choice(job).name, job), job.precision

    def seconds(self, job: Job) -> float:
        """Return the estimated time of a job on one core or a GPU."""
        return float(self.work(job) @ self.rate(self.setup(job), job.architecture))

    def estimates(self, jobs: Iterable[Job]) -> dict[str, float]:
        """Return the estimated seconds of many jobs by their keys."""
        return {job.key: self.seconds(job) for job in jobs}


def makespan(seconds: Iterable[float], n_workers: int) -> float:
    """Return when the last of `n_workers` ends that take the longest job first, each when it is free."""
    ends = [0.0] * max(1, n_workers)
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def fitting(seconds: Mapping[str, float], n_workers: int, budget_seconds: float) -> set[str]:
    """Return the keys of as many jobs as can be done within the budget: the shortest ones."""
    order = sorted(seconds, key=seconds.__getitem__)
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        if makespan([seconds[key] for key in order[:middle]], n_workers) <= budget_seconds:
            low = middle
        else:
            high = middle - 1
    return set(order[:low])


def fit_rates(works: list[np.ndarray], times: list[float], prior: np.ndarray) -> np.ndarray:
    """Return the rates that explain the times best without straying from the prior for nothing; positive all.

    Levenberg's and Marquardt's method on the logarithms of the rates' factors.
    """
    if not works:
        return prior
    shares = np.array(works) * prior  # (n_records, n_terms), seconds
    logs = np.log(np.array(times))
    factors = np.zeros(len(prior))

    def loss(at: np.ndarray) -> float:
        off = (np.log(shares @ np.exp(at)) - logs) / RECORD_SPREAD
        # Huber's: a job that shared its core with others is no reason to bend the rates.
        robust = np.where(np.abs(off) < 2, off**2, 4 * np.abs(off) - 4)
        return float(robust.sum() + (at**2).sum() / PRIOR_SPREAD**2)

    damping, now = 1e-3, loss(factors)
    for _ in range(60):
        parts = shares * np.exp(factors)
        total = parts.sum(axis=1, keepdims=True)
        slopes = parts / total / RECORD_SPREAD
        off = (np.log(total[:, 0]) - logs) / RECORD_SPREAD
        weight = np.minimum(1, 2 / np.maximum(np.abs(off), 1e-12))
        normal = slopes.T @ (slopes * weight[:, None]) + np.eye(len(prior)) / PRIOR_SPREAD**2
        downhill = -(slopes.T @ (weight * off)) - factors / PRIOR_SPREAD**2
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), downhill)
        then = loss(factors + step)
        if then < now:
            factors, damping = factors + step, damping / 3
            if now - then < 1e-9 * now:
                break
            now = then
        else:
            damping *= 4
    rates: np.ndarray = prior * np.exp(factors)
    return rates


# ---------------------------------------------------------------------------------------------------------------------
# Memory

BASE_BYTES = 350 * 2**20  # the interpreter with torch loaded
LEAST_BYTES = 2**30  # that a worker may take, however little is free: the system decides then
PREDICT_TIMEPOINTS = 2**13  # as predict.predict batches them


def attention(job: Job, size: Sizes) -> float:
    """Return the bytes that attention over every timepoint keeps for the backward pass; 0 for anything else."""
    lstm, settings = job.model_config().lstm(size.n_channels, size.length), job.resolved()
    if lstm is None or not lstm.attention or lstm.n_steps < size.length:
        return 0.0
    n_fit = max(1, size.n_train - round(settings.validation * size.n_train))
    return 4.0 * min(settings.batch(n_fit), n_fit) * size.length**2 * (max(settings.cells) + 3)


def held(layer: Layer) -> int:
    """Return the values of one case that a layer keeps for the backward pass: its input, and `kept` for each output."""
    return layer.n_timepoints * layer.n_in + layer.kept * layer.n_activations


def memory(job: Job, size: Sizes | None = None) -> float:
    """Return the estimated peak memory of a job in bytes: the process, the data, a step, and the weights kept."""
    size = sizes(job) if size is None else size
    if job.library:  # what the classifier itself takes is not known
        return BASE_BYTES + 6 * 8.0 * (size.n_train + size.n_test) * size.n_channels * size.length
    settings, config = job.resolved(), job.model_config()
    n_fit = max(1, size.n_train - round(settings.validation * size.n_train))
    batch = min(settings.batch(n_fit), n_fit)
    network = layers(job, size.n_channels, size.length)
    data = 4 * 8.0 * (size.n_train + size.n_test) * size.n_channels * size.length  # read, resampled, normalised, padded
    # Of each layer its padded input, what it convolved and what it rectified stay for the backward pass, which needs
    # the gradients of one layer at a time.
    values = sum(held(layer) for layer in network) + max((4 * layer.n_activations for layer in network), default=0)
    if protocol.fast_trains(job.architecture, config, settings):
        batch += n_fit % batch  # in the fast engine the last one has room of its own
    step = (8.0 if job.precision == "float64" else 4.0) * batch * values
    n_predicted = max(size.length, min(PREDICT_TIMEPOINTS, size.n_test * size.length)) / max(1, size.length)
    predicting = 4.0 * n_predicted * max((held(layer) for layer in network), default=0)
    n_parameters = float(sum(layer.n_weights for layer in network))
    lstm = config.lstm(size.n_channels, size.length)
    if lstm is not None:
        cells = max(settings.cells, default=0)
        n_parameters += 4 * cells * (2 * lstm.n_features + cells)
        step += 2 * 4.0 * batch * lstm.n_steps * cells * 12
    weights = 4 * n_parameters * (4 + 3 * max(1, len(settings.cells)))  # values, gradients, two moments; the kept
    return BASE_BYTES + data + max(step, predicting) + weights + attention(job, size)


# ---------------------------------------------------------------------------------------------------------------------
# Words

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def duration(name: str, text: str) -> float:
    """Return the seconds of a time as one writes it: 2h, 30m, 1h30m, 90s, 1d. Raises UserError for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UserError(f"{name}={text} is not a time: write 2h, 30m, 1h30m or 90s")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise UserError(f"{name}={text} is zero: give more, such as 30m")
    return seconds

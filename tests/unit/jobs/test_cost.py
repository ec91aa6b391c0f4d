"""What jobs take: the count of their work, rates that records correct, and the memory that they need."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import COFFEE, coffee_job
from tests.records import record_of, require
from tsfcn.common import machine
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.models import FCNConfig, LSTMFCNConfig
from tsfcn.jobs import cost, store
from tsfcn.jobs.cost import Model, duration, fitting, makespan, memory, work
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record
from tsfcn.training import predict

RESULTS = Path(__file__).resolve().parents[3] / "results"


def seconds(job: Job) -> float:
    """Return the time of a job as it is estimated before there are records."""
    return Model().seconds(job)


# ---------------------------------------------------------------------------------------------------------------------
# The count of the work


@pytest.mark.parametrize("model", models.MODELS)
def test_cost_grows_with_the_work(model: str) -> None:
    job = coffee_job(model)
    least = seconds(job)
    assert 0 < least < 3600
    larger = [
        replace(job, settings={**job.settings, "epochs": 200}),
        replace(job, settings={**job.settings, "batch_size": 1}),
        replace(job, passport={**COFFEE, "n_train": 280}),
        replace(job, passport={**COFFEE, "length": 572}),
        replace(job, passport={**COFFEE, "n_channels": 2}),
    ]
    for other in larger:
        assert seconds(other) > least
    once = work(job)[1] * cost.PRIOR[1] + cost.PRIOR[-1]  # what a job takes beside its training
    assert seconds(larger[0]) - once == pytest.approx(2 * (least - once))
    if models.spec(model).lstm:  # two sizes are two trainings
        assert seconds(replace(job, settings={**job.settings, "cells": [8]})) == pytest.approx(least / 2, rel=0.2)
    held_out = {**job.settings, "validation": 0.5}
    assert seconds(replace(job, settings=held_out)) < least


def test_cost_is_that_of_the_timepoints_that_are_used() -> None:
    half = coffee_job("fcn", truncate=0.5)
    assert cost.sizes(half).length == 143
    as_long = replace(coffee_job("fcn"), passport={**COFFEE, "length": 143})
    assert seconds(half) == seconds(as_long) < seconds(coffee_job("fcn"))


def test_cost_counts_the_multiplications() -> None:
    # FCN, one channel: 1 * 128 * 8 + 128 * 256 * 5 + 256 * 128 * 3 for each timepoint.
    assert cost.macs(coffee_job("fcn"), 1, 100) == 100 * (1024 + 163_840 + 98_304)
    # MLP: 100 * 500 + 500 * 500 + 500 * 500.
    assert cost.macs(coffee_job("mlp"), 1, 100) == 550_000
    # ResNet: kernels 8, 5, 3 in every block, and a 1 x 1 convolution where the width changes: 1 -> 64 -> 128 -> 128.
    blocks = (8 * 64 + 8 * 64 * 64 + 64) + (64 * 128 * 8 + 8 * 128 * 128 + 64 * 128) + (16 * 128 * 128)
    assert cost.macs(coffee_job("resnet"), 1, 100) == 100 * blocks


def test_the_work_of_a_job_counted_by_hand() -> None:
    # 28 cases in batches of two: 14 steps an epoch. A multiplication is two operations, forward and twice backward.
    flop, predicted, traffic, layer_steps, lstm_steps, epochs, n_jobs = work(coffee_job())
    assert flop == 6 * 286 * (1024 + 163_840 + 98_304) * 28 * 100
    assert predicted == 2 * 286 * (1024 + 163_840 + 98_304) * (28 + 28)  # the training and the test set, once
    assert traffic == 286 * (128 + 256 + 128) * 28 * 100 + (1024 + 163_840 + 98_304) * 1400
    assert (layer_steps, lstm_steps, epochs, n_jobs) == (3 * 1400, 0, 100, 1)
    # Two LSTM sizes are two trainings, of one LSTM step each with the dimension shuffle, of 286 without.
    assert work(coffee_job("lstm_fcn"))[3:].tolist() == [3 * 2800, 2800, 200, 1]
    assert work(coffee_job("lstm_fcn", LSTMFCNConfig(shuffle=False)))[4] == 2800 * 286


def test_cost_of_a_dataset_that_is_not_here_is_that_of_the_catalogue() -> None:
    there = coffee_job()
    assert seconds(replace(there, passport={})) == seconds(there)  # Coffee's sizes stand in the catalogue
    channels = [
        cost.sizes(replace(there, dataset=name, passport={})).n_channels for name in ("Coffee", "Libras", "PEMS-SF")
    ]
    assert channels == [1, 2, 963]
    unknown = replace(there, dataset="Mine", passport={})
    assert seconds(unknown) == seconds(replace(there, dataset="GunPoint", passport={}))


# ---------------------------------------------------------------------------------------------------------------------
# What records teach


def variants() -> list[Job]:
    """Return jobs of many shapes."""
    made = []
    for model, settings in (("fcn", None), ("fcn", FCNConfig(filters=[16, 16, 16])), ("resnet", None)):
        for n_train in (20, 100, 400):
            for length in (24, 150, 700):
                for batch_size in (1, 16):
                    job = coffee_job(model, settings, batch_size=batch_size)
                    made.append(replace(job, passport={**COFFEE, "n_train": n_train, "length": length}))
    return made


def record(job: Job, taken: float, **other: Any) -> Record:
    """Return the record of a job that took so many seconds."""
    fields = {"engine": "reference", "hardware": "A, 2 cores, AVX2", "train_seconds": taken, "test_seconds": None}
    return record_of(job, **{**fields, **other})


def test_rates_are_found_again_from_noisy_times_and_foretell_shapes_not_seen() -> None:
    noise = np.random.default_rng(0)
    rates = cost.PRIOR * np.array([1.7, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0])
    made = variants()
    random.Random(0).shuffle(made)
    seen, rest = made[: len(made) // 2], made[len(made) // 2 :]
    model = Model([record(job, float(work(job) @ rates * noise.lognormal(0, 0.05))) for job in seen], "A, 2 cores")
    for job in rest:
        assert model.seconds(job) == pytest.approx(float(work(job) @ rates), rel=0.15)
    off = [abs(math.log(Model().seconds(job) / float(work(job) @ rates))) for job in rest]
    assert max(off) > 0.3  # the prior alone is not as good


def test_one_record_scales_everything_on_its_hardware() -> None:
    job, other = coffee_job(), coffee_job("resnet")
    model = Model([record(job, 3 * seconds(job))], "A")
    assert model.seconds(job) == pytest.approx(3 * seconds(job), rel=0.1)
    assert model.seconds(other) == pytest.approx(3 * seconds(other), rel=0.25)


def test_other_hardware_teaches_less_than_this_one_and_failures_and_engines_nothing() -> None:
    job = coffee_job()
    slow = [record(job, 5 * seconds(job), hardware="B, 8 cores, AVX2")]
    assert seconds(job) < Model(slow, "A").seconds(job)  # better than nothing
    assert Model([*slow, record(job, seconds(job))], "A").seconds(job) == pytest.approx(seconds(job), rel=0.2)
    for other in ({"status": "failed"}, {"engine": "another"}, {"train_seconds": None}, {"train_seconds": 0.0}):
        assert Model([record(job, 5 * seconds(job), **other)], "A").seconds(job) == seconds(job)


def test_processor_time_teaches_on_a_cpu_and_wall_time_where_there_is_none() -> None:
    job = coffee_job()
    alone = Model([record(job, 40.0, test_seconds=2.0)], "A").seconds(job)
    shared = {"train_processor_seconds": 40.0, "test_processor_seconds": 2.0, "test_seconds": 9.0}
    assert Model([record(job, 400.0, **shared)], "A").seconds(job) == alone
    resumed = shared | {"train_processor_seconds": None}  # from a checkpoint without it
    assert Model([record(job, 40.0, **resumed)], "A").seconds(job) == alone
    on_gpu = {"engine": "fast_cuda", "device": "cuda:0", "hardware": "A GPU + A"}
    for other in ({}, shared):
        model = Model([record(job, 7.0, **on_gpu, **{**other, "test_seconds": 0.5})], "A GPU", "auto", "cuda:0")
        assert model.seconds(job) == pytest.approx(7.5, rel=0.05)


def test_each_engine_and_precision_learns_from_its_own_records() -> None:
    job = coffee_job()
    half = replace(job, precision="bfloat16")
    records = [record(job, 40.0), record(job, 20.0, engine="fast"), record(half, 5.0, engine="fast")]
    assert Model(records, "A", "reference").seconds(job) == pytest.approx(40, rel=0.05)
    assert Model(records, "A", "auto").seconds(job) == pytest.approx(20, rel=0.05)
    assert Model(records, "A", "auto").seconds(half) == pytest.approx(5, rel=0.05)
    masked = replace(job, settings={**job.settings, "length": "mask"})  # for the reference loop
    assert Model(records, "A", "auto").seconds(masked) == pytest.approx(40, rel=0.05)
    assert Model(engine="fast").seconds(half) < Model(engine="fast").seconds(job) < Model().seconds(job)


def test_a_gpu_has_rates_of_its_own_and_learns_from_records_of_gpus_alone() -> None:
    job = coffee_job()
    half = replace(job, precision="bfloat16")
    alone = Model([], "A GPU", "auto", "cuda:0")
    assert alone.setup(half) == ("fast_cuda", "bfloat16") and alone.setup(coffee_job("resnet")) == (
        "reference",
        "float32",
    )
    assert alone.seconds(half) < alone.seconds(job) < Model([], "A GPU", "reference", "cuda:0").seconds(job)
    there = {"engine": "fast_cuda", "device": "cuda:1", "hardware": "A GPU + A, 2 cores"}
    records = [
        record(job, 40.0),
        record(job, 7.0, **there),
        record(coffee_job("resnet"), 90.0, **{**there, "engine": "reference"}),
    ]
    assert Model(records, "A GPU", "auto", "cuda:0").seconds(job) == pytest.approx(7, rel=0.05)
    assert Model(records, "A GPU", "auto", "cuda:0").seconds(coffee_job("resnet")) == pytest.approx(90, rel=0.05)
    for name in ("reference", "auto"):
        assert Model(records, "A", name).seconds(job) == Model(records[:1], "A", name).seconds(job)


def test_a_way_without_records_is_as_far_off_as_others_are_on_this_hardware() -> None:
    job = coffee_job()
    half, slow = replace(job, precision="bfloat16"), [record(job, 3 * seconds(job))]
    for engine, of in (("auto", job), ("auto", half)):
        before = Model(engine=engine).seconds(of)
        assert Model(slow, "A", engine).seconds(of) == pytest.approx(3 * before)
        assert Model(slow, "C", engine).seconds(of) == before  # other hardware
        known = [*slow, record(of, before, engine="fast")]
        assert Model(known, "A", engine).seconds(of) == pytest.approx(before)  # what is known counts alone


def test_an_outlier_does_not_bend_the_rates() -> None:
    made = variants()
    records = [record(job, seconds(job)) for job in made]
    records[3] = record(made[3], 20 * seconds(made[3]))
    model = Model(records, "A")
    for job in made:
        assert model.seconds(job) == pytest.approx(seconds(job), rel=0.1)


# When they were made, the machine did nothing else than to train them. The others shared their cores with other work
# or were held for a while: GunPoint took 781 and 1,079 seconds, Beef 1,144 and BeetleFly, as large, 252.
UNDISTURBED = (("2026-11-25T05:15", "2026-11-25T06:30"), ("2026-11-25T11:20", "2026-11-25T12:14"))
# Made by workers that kept more of what earlier jobs had taken with every job: their peaks are not one job's.
GROWN = ("2026-11-25T11:00", "2026-11-25T12:14")


def undisturbed(record: Record) -> bool:
    return any(begin < record.finished < end for begin, end in UNDISTURBED)


def test_the_committed_records_are_foretold_by_those_of_other_datasets() -> None:
    records = [r for r in store.read(RESULTS) if r.is_ok and require(r.seconds("train")) > 5]
    assert len(records) > 20
    ways = {(r.architecture, r.engine, r.precision) for r in records}
    assert len(ways) >= 3
    for way in ways:
        off, alone = [], []
        for each in [r for r in records if (r.architecture, r.engine, r.precision) == way]:
            others = [r for r in records if r.dataset != each.dataset]

            def apart(teachers: list[Record], each: Record = each) -> float:
                model = Model(teachers, each.hardware, each.engine)
                return abs(math.log(model.seconds(each.job) / require(each.seconds("train"))))

            off.append(apart(others))
            if undisturbed(each):
                alone.append(apart([r for r in others if undisturbed(r)]))
        assert np.median(off) < (0.25 if len(off) > 30 else 0.35), way  # few records have few teachers
        assert way[:2] != ("fcn", "reference") or (len(alone) > 40 and max(alone) < 0.2)


# ---------------------------------------------------------------------------------------------------------------------
# The plan of a run


def test_makespan_of_the_longest_first() -> None:
    assert makespan([], 2) == 0
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([2, 2, 2], 2) == 4
    assert makespan([5.0], 8) == 5


def test_a_budget_holds_the_shortest_jobs() -> None:
    times = {"a": 10.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 100.0}
    assert fitting(times, 1, 6.0) == {"b", "c", "d"}
    assert fitting(times, 2, 6.0) == {"b", "c", "d"}
    assert fitting(times, 2, 10.0) == {"a", "b", "c", "d"}
    assert fitting(times, 1, 0.5) == set()
    assert fitting(times, 1, 1e9) == set(times)
    assert fitting({}, 1, 1.0) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [("2h", 7200), ("30m", 1800), ("1h30m", 5400), ("90s", 90), ("1d", 86400), ("1.5h", 5400), ("1d2h3m4s", 93784)],
)
def test_a_time_as_one_writes_it(text: str, found: float) -> None:
    assert duration("budget", text) == found


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "2h!", "-2h", "2hours", "1e3s", "nan", "2H"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UserError) as told:
        duration("budget", text)
    assert str(told.value) == f"budget={text} is not a time: write 2h, 30m, 1h30m or 90s"


def test_no_time_at_all() -> None:
    with pytest.raises(UserError) as told:
        duration("budget", "0m")
    assert str(told.value) == "budget=0m is zero: give more, such as 30m"


# ---------------------------------------------------------------------------------------------------------------------
# Memory


def test_memory_of_the_committed_records_is_about_what_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in store.read(RESULTS):
        if each.is_ok:
            monkeypatch.setattr(cost, "PREDICT_TIMEPOINTS", 2**16 if each.finished < "2026-11-27" else 2**13)
            share = memory(each.job) / require(each.peak_memory_bytes)
            assert share < 1.7 and (share > 0.6 or GROWN[0] < each.finished < GROWN[1]), each.dataset


@pytest.mark.parametrize("model", models.MODELS)
def test_memory_grows_with_what_is_kept(model: str) -> None:
    job = coffee_job(model, batch_size=10_000, batch_divisor=0)
    size = cost.sizes(job)
    least = memory(job, size)
    assert cost.BASE_BYTES < least < 2**32
    assert memory(job, replace(size, length=20 * size.length)) > least
    assert memory(job, replace(size, n_train=100 * size.n_train)) > least
    assert memory(job, replace(size, n_test=10**7)) > least + 4 * 10**7 * size.length


def test_attention_over_every_timepoint_is_what_it_keeps() -> None:
    job = coffee_job("alstm_fcn", LSTMFCNConfig(shuffle=False), batch_size=4, batch_divisor=0)
    size = cost.sizes(job)
    assert cost.attention(job, size) == 4 * 4 * 286 * 286 * (
        64 + 3
    )  # float32: a tanh of each cell, softmax and its like
    assert cost.attention(coffee_job("alstm_fcn"), size) == cost.attention(coffee_job("lstm_fcn"), size) == 0
    longer = replace(size, length=28_600)
    assert memory(job, longer) > cost.attention(job, longer) == 10_000 * cost.attention(job, size)


def test_evaluation_is_batched_and_does_not_decide_the_memory() -> None:
    size = cost.sizes(coffee_job("resnet"))
    many, few = (memory(coffee_job("resnet"), replace(size, n_test=n, length=1024)) for n in (8236, 100))
    assert many - few < 8236 * 1024 * 4 * 12 + 2**28  # the cases themselves, and one batch of them


def test_the_batches_of_evaluation_are_those_of_the_training_code() -> None:
    assert cost.PREDICT_TIMEPOINTS == predict.PREDICT_TIMEPOINTS  # written down twice: this module loads no torch


def test_free_memory_and_processor_are_told() -> None:
    assert machine.free_memory() > 2**24
    assert machine.processor().endswith(" cores")

"""From the settings of a run to its jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tsfcn.common.errors import UserError
from tsfcn.config import checks, init_from, schema
from tsfcn.config.protocol import ProtocolConfig
from tsfcn.data import download, locate, streams, user_data
from tsfcn.data.formats import Columns
from tsfcn.jobs import initial_weights, plan, transfer
from tsfcn.training.select_engine import automatic_precision

# By dataset: 'skipped' (not available) or 'failed' (its files are wrong), and the reason.
Unusable = dict[str, tuple[str, str]]


def planned(run: schema.RunConfig, unchanged: ProtocolConfig, device: str = "cpu") -> tuple[list[plan.Job], Unusable]:
    """Return the jobs of a run, and the datasets that cannot be had or are wrong (their jobs have no passport).

    device: torch's name of where it will train, which engine.precision=auto depends on.
    """
    unusable: Unusable = {}
    seeds = checks.integers("seeds", run.seeds, count=True)
    resamples = checks.integers("resample", run.resample, count=False)
    auto, precision = run.engine.precision == "auto", run.engine.precision
    if auto:
        precision = automatic_precision(run.engine.name, device)

    def passports(datasets: Iterable[user_data.Source]) -> dict[str, dict[str, Any]]:
        """Return the passports of datasets, {} for one that cannot be used."""
        by_name: dict[str, dict[str, Any]] = {}
        for source in datasets:
            name, options = source.name, read_options(run)
            try:
                if run.task == "segmentation" and source.files is not None:
                    by_name[name] = streams.passport(source, options)
                else:
                    by_name[name] = dict(user_data.passport(source, run.archive.root, run.archive.split, options))
            except UserError as error:
                unusable[name] = ("skipped" if isinstance(error, locate.NotAvailable) else "failed", str(error))
                by_name[name] = {}
        return by_name

    def jobs(datasets: dict[str, dict[str, Any]], init_from: str | None, label: str = "") -> list[plan.Job]:
        """Return the jobs on datasets whose initial weights come from one source, None: are random."""
        contents = (datasets, run.model.configs(), replace(run.protocol, init_from=init_from), unchanged)
        segmentation = run.segmentation if run.task == "segmentation" else None
        return plan.jobs(
            *(*contents, seeds, resamples, precision),
            if_possible=auto,
            init_label=label,
            segmentation=segmentation,
        )

    targets, text = passports(sources(run)), run.protocol.init_from
    if text is None:
        return jobs(targets, None), unusable
    start = init_from.parse(text)
    if start.kind == "weights":
        key, metadata = initial_weights.read_file(start.file)
        started = jobs(targets, f"weights:{key}", f"weights:{key[: plan.SHOWN]}")
        for job in started:
            if job.passport:
                initial_weights.check_file(start.file, metadata, job)
        return [replace(job, source={"key": key, "group": key}) for job in started], unusable
    pool = passports(user_data.select(list(start.names), [], run.archive.root, locate.ReadOptions()))
    known = targets | pool

    def without(target: str, missing: list[str]) -> None:
        """Note that jobs on a target are skipped, since sources of it cannot be used."""
        unusable[target] = ("skipped", f"protocol.init_from={text} needs {', '.join(missing)}, which cannot be used")

    return transfer.jobs(
        *(start, text, targets, pool, lambda name, source, label: jobs({name: known[name]}, source, label)),
        *(run.archive.root, without),
    ), unusable


def read_options(run: schema.RunConfig) -> locate.ReadOptions:
    """Return how the user's own datasets are read."""
    return locate.ReadOptions(Columns(label=run.label, **vars(run.columns)), run.test_size)


def sources(run: schema.RunConfig) -> list[user_data.Source]:
    """Return the datasets that a run names. Raises UserError for a name, path or address that cannot be."""
    download.address("NAME", run.archive.mirror)
    return user_data.select(run.dataset, run.exclude, run.archive.root, read_options(run))

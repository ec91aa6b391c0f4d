"""The experiments of conf/: each composes, and one that is called as a published table is that table."""

from __future__ import annotations

import pytest

from tsfcn.config import models, protocol, schema, user_files
from tsfcn.config.compose import compose
from tsfcn.data import catalogue, published
from tsfcn.jobs.plan import Job, jobs
from tsfcn.reproduce import composed, overrides

EXPERIMENTS = user_files.options("experiment", None)
TABLES = [name for name in EXPERIMENTS if name in published.sources()]


def planned(run: schema.RunConfig, unchanged: protocol.ProtocolConfig) -> list[Job]:
    """Return the jobs of a run, as far as they do not depend on the files of the datasets."""
    passports = {name: {"split": run.archive.split} for name in catalogue.select(run.dataset, run.exclude)}
    assert isinstance(run.seeds, int)
    return jobs(passports, run.model.configs(), run.protocol, unchanged, range(run.seeds), [run.resample])


def test_the_tables_of_the_papers_are_among_them() -> None:
    assert {"wang2017_table1", "fawaz2019_ucr128", "karim2019"} <= set(TABLES)
    assert {"poolparty2025", "debug"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name: str) -> None:
    run, unchanged = compose([f"experiment={name}"])
    assert planned(run, unchanged)
    assert run.model.configs().keys() <= set(models.names())


@pytest.mark.parametrize("name", TABLES)
def test_an_experiment_has_datasets_networks_runs_split_and_protocol_of_its_table(name: str) -> None:
    run, unchanged = compose([f"experiment={name}"])
    source, figures = published.sources()[name], published.read(name)
    assert set(catalogue.select(run.dataset)) == {figure.dataset for figure in figures}
    assert len(catalogue.select(run.dataset)) == source.n_datasets and run.exclude == []
    ran = {model.partition("[")[0] for model in run.protocol.paper_models}
    assert run.model.configs().keys() == {figure.model for figure in figures} & ran
    assert run.seeds == source.n_runs
    assert run.archive.split == source.split.split()[0]
    assert (name, run.protocol.name) == published.protocol_of(name)
    assert not any(job.off_paper for job in planned(run, unchanged))


@pytest.mark.parametrize("name", TABLES)
def test_an_experiment_is_the_run_that_reproduces_its_table(name: str) -> None:
    """There are two ways to ask for it, and they plan the same jobs."""
    run, unchanged = compose([f"experiment={name}"])
    names = ",".join(run.model.configs())
    words = [f"paper={name}", f"model=[{names}]", f"dataset={run.dataset}", f"seeds={run.seeds}"]
    experiment = [f"paper={name}", f"experiment={name}"]
    asked = [planned(*composed(overrides(each)[1], name)) for each in (words, experiment)]
    assert planned(run, unchanged) == asked[0] == asked[1]


def test_the_networks_of_poolparty_are_trained_alike() -> None:
    run, unchanged = compose(["experiment=poolparty2025"])
    made = planned(run, unchanged)
    assert len({job.dataset for job in made}) == 154 and len({job.seed for job in made}) == 11
    settings = {job.architecture: job.settings for job in made}
    assert settings["resnet"] == settings["fcn"] and settings["fcn"]["epochs"] == 2000

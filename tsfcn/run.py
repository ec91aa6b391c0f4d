"""`python -m tsfcn.run KEY=VALUE ...`: train models on datasets under a protocol, record every number, print the table.

Hydra composes the settings from conf/ and the overrides; datasets x models x seeds are one plan of jobs, those already
done are not run again. The work is in tsfcn.runs, here are the function `tsfcn.run(...)` and the command. Exit code 0:
all ok; 1: a job failed; 2: bad input; 3: all ok but for skipped jobs; 130: Ctrl-C.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import tsfcn
from tsfcn.common import exit_codes
from tsfcn.common.callable_module import make_callable
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.exit_codes import OK
from tsfcn.common.streams import safe_streams
from tsfcn.config import model_spec, models, schema
from tsfcn.config.compose import compose_all, hydra_words, register_schema
from tsfcn.config.overrides import CONFIG_DIR, RUN_SETTINGS, canonical, command_line, from_settings
from tsfcn.config.paths import conf_folder
from tsfcn.data import user_data
from tsfcn.jobs import store
from tsfcn.runs.stages import RESUME, concluded, execute_run
from tsfcn.runs.summary import of_jobs

if TYPE_CHECKING:
    import pandas as pd

# Of Hydra's flags, those that tell something.
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--info", "-i"),
    *("--shell-completion", "-sc"),
)


def run(
    dataset: object = None,
    model: object = None,
    protocol: object = None,
    *overrides: str,
    seeds: object = None,
    resample: object = None,
    resamples: int | None = None,
    exclude: object = None,
    label: str | None = None,
    test_size: float | None = None,
    columns: Mapping[str, object] | None = None,
    archive: Mapping[str, object] | None = None,
    engine: Mapping[str, object] | None = None,
    device: str | None = None,
    executor: object = None,
    results: str | Path | None = None,
    save_weights: bool | None = None,
    require_predictions: bool | None = None,
    checkpoint: Mapping[str, object] | None = None,
    max_attempts: int | None = None,
    budget: str | None = None,
    dry_run: bool | None = None,
    experiment: str | None = None,
    config_dir: str | Path | None = None,
    **settings: object,
) -> pd.DataFrame:
    """Run jobs and return their accuracy table, with a row for each dataset, model, protocol and split.

    The columns are those of `tsfcn.analysis.tables.accuracy`. Jobs that are done are not run again. Failed and skipped
    jobs are listed on standard error and have no row. What is None is as in conf/config.yaml.

    >>> import tsfcn
    >>> tsfcn.run("Cofee", "fcn", epochs=100)
    Traceback (most recent call last):
    tsfcn.common.errors.UserError: dataset 'Cofee' is not in the archive; did you mean 'Coffee'?

    Args:
        dataset: a name, a set such as "ucr85", a glob, a path, or a list of these; or a mapping from names to arrays,
            frames and Datasets: {"mine": (X_train, y_train, X_test, y_test)}. Default: three bundled datasets.
        model: a name, a class of torch.nn.Module (README.md, "A network of your own"), a list of these, or a mapping
            from these to settings. Default: "fcn".
        protocol: a name, or training values with or without a name, as {"name": "smoke", "epochs": 3}; a list of
            names or of values gives a row each. Default: "fawaz2019".
        overrides: further settings as on the command line: "protocol.epochs=100".
        seeds: how many seeds, or a list of them.
        resample: the stratified resample of the split (0 is the official split), or a list of them.
        resamples: how many splits, beginning with the official one.
        exclude: datasets to leave out, as `dataset`.
        label: the column of labels in tables of your own.
        test_size: the share of test cases where a dataset of your own is one table.
        columns: the columns case, time, value and dimension of a table with a row for each value.
        archive: where datasets are: root, download, mirror, split.
        engine: name, precision and threads.
        device: "cpu", "cuda", "cuda:N", "mps" or "auto".
        executor: "local", "inline" or "threads", or {"name": ..., "workers": ..., "memory": ...}. Default: "local", but
            "inline" for a class that workers cannot import.
        results: the folder for records, predictions and tables. Default: "results".
        save_weights: whether the weights are kept.
        require_predictions: whether a job without its predictions file is run again.
        checkpoint: {"every_seconds": ...}.
        max_attempts: a job that has failed this often is not tried again.
        budget: how long the run may take, as "2h".
        dry_run: whether the jobs are only printed.
        experiment: the name of a file in conf/experiment.
        config_dir: a folder with further protocols, settings of models and experiments.
        **settings: training values and other settings by their names: epochs=3 is protocol={"epochs": 3}.

    Raises:
        UserError: bad input (a ValueError).
    """
    from tsfcn.analysis import tables

    named = {name: value for name, value in locals().items() if name in RUN_SETTINGS and value is not None}
    given: list[str] = []
    if model is not None:
        named["model"], given = model_spec.registered(model)
    selection, names = user_data.named_sources(dataset, named)
    typed = named | ({} if names is None else {"dataset": names})
    named |= {} if selection is None else {"dataset": selection}
    folder = [] if config_dir is None else [f"{CONFIG_DIR}={config_dir}"]
    words, command = ([*folder, *from_settings({**each, **settings}), *overrides] for each in (named, typed))
    with safe_streams():
        words += inline_words(given, words)
        composed = compose_all(words)
        _, jobs = execute_run(composed, command_line(command))
    return tables.accuracy(of_jobs(jobs, store.read(Path(composed[0].run.results))))


def inline_words(given: Iterable[str], words: Iterable[str]) -> list[str]:
    """Return the override that trains in this process what workers cannot import, and say so on stderr; [] if none is.

    Args:
        given: the names of the models that were given as classes or specs.
        words: the overrides of the run; one that chooses an executor holds.
    """
    here_alone = [name for name in given if not models.in_every_process(name)]
    if not here_alone or any(word.startswith(("executor=", "executor.")) for word in words):
        return []
    print(
        f"workers cannot import model {', '.join(here_alone)}, which is known in this process alone: "
        "all jobs are trained here, one after the other (executor=inline)",
        file=sys.stderr,
    )
    return ["executor=inline"]


# ---------------------------------------------------------------------------------------------------------------------
# The command


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: Hydra overrides and flags, without the program's name."""

    def command() -> int:
        words = canonical(sys.argv[1:] if argv is None else argv)
        flags = [word for word in words if word.startswith("-") and not word.startswith(CONFIG_DIR)]
        if flags:
            return informed(words, flags)
        composed = compose_all(words)
        code, _ = execute_run(composed, command_line(words))
        return concluded(code, composed[0].run)

    return exit_codes.run(command, resume=RESUME)


def informed(argv: list[str], flags: list[str]) -> int:
    """Let Hydra answer --help, --cfg, --info and their like; nothing is run. Returns the exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    for word in flags:
        if word.split("=")[0] not in FLAGS:
            raise UserError(unknown_flag(word))
    if "--version" in flags:
        print(f"tsfcn {tsfcn.__version__}")
        return OK
    overrides = [word for word in argv if "=" in word and (not word.startswith("-") or word.startswith(CONFIG_DIR))]
    if not {"--shell-completion", "-sc"} & set(flags):
        overridden = hydra_words(overrides)
        argv = [word for word in argv if word not in overrides]
        if "--hydra-help" not in flags:  # which describes Hydra, not the settings
            argv = [*overridden, *argv]  # not behind a flag that would take one of them as its value
    register_schema()
    sys.argv = ["tsfcn run", *argv]
    try:
        hydra.main(config_path=str(conf_folder()), config_name="config", version_base="1.3")(lambda tree: None)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{' '.join(flags)}: {first_line(error)}") from error
    return OK


def unknown_flag(word: str) -> str:
    """Return the error message for a flag that does not exist."""
    setting = word.split("=", maxsplit=1)[0].strip("-").replace("-", "_")
    near = difflib.get_close_matches(setting, [f.name for f in fields(schema.RunConfig)], n=1)
    hint = f"did you mean '{near[0]}=...'?" if near else f"settings are KEY=VALUE, flags are {', '.join(FLAGS)}"
    return f"flag '{word}' is not known: {hint}"


make_callable(__name__, "tsfcn.run:run")

if __name__ == "__main__":
    sys.exit(main())

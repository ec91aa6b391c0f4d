"""The engines as a user selects them: their part in plan, key and record, and what is refused."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.factories import small_config, smoke_protocol, train, trainable_job
from tests.records import require
from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose
from tsfcn.config.overrides import command_line
from tsfcn.jobs import artifacts, plan, store
from tsfcn.runs.planning import planned as planned_jobs
from tsfcn.training import select_engine
from tsfcn.training.checkpoint import Stopped
from tsfcn.training.fused import build


@pytest.mark.parametrize("dataset", ["ItalyPowerDemand", "BasicMotions"])  # of one channel, and of six
@pytest.mark.parametrize("model", ["fcn", "lstm_fcn", "alstm_fcn"])
def test_the_fast_engine_does_the_same_job(model: str, dataset: str, tmp_path: Path) -> None:
    made = trainable_job(model, dataset=dataset, epochs=4)
    here, there = train(made, tmp_path / "here"), train(made, tmp_path / "there", engine="reference")
    assert (here.engine, there.engine) == ("fast", "reference")
    assert here.key == there.key and here.chosen_cells == there.chosen_cells
    np.testing.assert_allclose(require(here.curve)["loss"], require(there.curve)["loss"], rtol=1e-4)
    assert here.train_cross_entropy == pytest.approx(there.train_cross_entropy, rel=1e-3)
    assert here.accuracy == pytest.approx(there.accuracy, abs=3 / 1029)  # 40 test cases of BasicMotions: the same
    assert here.to_json().keys() == there.to_json().keys()


@pytest.mark.parametrize(
    "changes",
    [{"model": "mlp"}, {"model": "resnet"}, {"validation": 0.2}, {"select": "test_oracle"}, {"length": "mask"}],
)
def test_other_jobs_are_trained_by_the_reference_loop_with_the_same_bits(
    changes: dict[str, object], tmp_path: Path
) -> None:
    made = trainable_job(**changes)  # type: ignore[arg-type]
    here, there = train(made, tmp_path / "here", engine="fast"), train(made, tmp_path / "there", engine="reference")
    assert here.engine == "reference" and here.curve == there.curve


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_a_precision_is_another_experiment(precision: str, tmp_path: Path) -> None:
    passports, how = {"ItalyPowerDemand": trainable_job().passport}, smoke_protocol()
    (made,) = plan.jobs(passports, {"fcn": small_config("fcn")}, how, how, [0], [0], precision)
    assert made.protocol == f"smoke[precision={precision}]" and made.off_paper
    assert made.key != trainable_job().key
    record = train(made, tmp_path)
    assert (record.status, record.precision, record.engine) == ("ok", precision, "fast")
    (kept,) = store.read(tmp_path)
    assert kept.precision == precision
    plain = train(trainable_job(), tmp_path / "plain")
    np.testing.assert_allclose(require(record.curve)["loss"], require(plain.curve)["loss"], rtol=0.03)
    assert record.train_cross_entropy != plain.train_cross_entropy


def test_bfloat16_is_refused_where_only_the_reference_loop_trains() -> None:
    how = smoke_protocol()
    with pytest.raises(UserError, match=r"^engine\.precision=bfloat16 is not for resnet with these settings: leave"):
        plan.jobs({}, {"resnet": small_config("resnet")}, how, how, [0], [0], "bfloat16")
    with pytest.raises(UserError, match=r"=bfloat16 is not available in the reference loop: leave out engine\.name"):
        compose(["engine.precision=bfloat16", "engine.name=reference"])
    with pytest.raises(UserError, match=r"engine\.name=quick is not known"):
        compose(["engine.name=quick"])
    assert command_line(["engine.name=fast", "engine.precision=float64"]).endswith("engine.precision=float64")


def test_a_state_of_one_engine_is_not_resumed_by_the_other(tmp_path: Path) -> None:
    """The key is the same, but the record could name only one of the engines."""
    made = trainable_job(epochs=6)
    asked = iter([False, True])
    with pytest.raises(Stopped):
        train(made, tmp_path, engine="fast", checkpoint_seconds=0.0, stop=lambda: next(asked, True))
    assert artifacts.checkpoint_path(tmp_path, made.key).is_file()
    assert train(made, tmp_path, engine="reference").resumed_epochs == []


def test_which_engine_trains_what() -> None:
    def of(chosen: str, changes: dict[str, object], n_timepoints: int = 24, compiled: bool = True) -> str:
        job = trainable_job(**changes)  # type: ignore[arg-type]
        found = select_engine.select_engine(
            *(job.architecture, job.model_config(), job.resolved(), chosen),
            n_timepoints=n_timepoints,
            compiled=compiled,
        )
        assert bool(found.reason) == (found.name != "fast") and found.missing == (
            not compiled and chosen != "reference"
        )
        return found.name

    assert of("auto", {}) == of("fast", {}) == "fast" and of("reference", {}) == "reference"
    assert of("fast", {}, 2) == "fast" and of("fast", {}, 1) == "reference"
    changed: list[dict[str, object]] = [
        {"length": "mask"},
        {"optimiser": "adadelta"},
        {"validation": 0.2},
        {"model": "mlp"},
    ]
    assert {of("fast", changes) for changes in changed} == {"reference"}
    assert of("auto", {}, compiled=False) == "reference" and of("fast", {}, compiled=False) == "fast_torch"


@pytest.fixture
def anew(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ctypes.CDLL | None]]:
    """Yield a function that looks for the library with a shell script as the compiler; $n counts its calls."""

    def look(script: str) -> ctypes.CDLL | None:
        broken = tmp_path / "cc"
        count = f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n"
        text = f"#!/bin/sh\n{count}\n{script}\n"
        if not broken.exists() or broken.read_text() != text:  # another compiler gives another library
            broken.write_text(text)
            broken.chmod(0o755)
        monkeypatch.setenv("CC", str(broken))
        build.compiler.cache_clear()
        build.library.cache_clear()
        assert build.compiler() == str(broken)
        return build.library()

    monkeypatch.setattr(build, "FLAGS", ("-O0", *build.FLAGS[1:]))
    yield look
    monkeypatch.undo()
    build.compiler.cache_clear()
    build.library.cache_clear()


def test_a_compiler_that_fails_counts_as_missing(
    anew: Callable[[str], ctypes.CDLL | None], own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job is trained nevertheless, and its record names the engine."""
    assert anew("echo no licence >&2; exit 1") is None
    said = capsys.readouterr().err
    assert said.startswith("the fast engine is not available, the reference loop trains: ") and "no licence" in said
    assert list(own_cache.iterdir()) == []
    assert train(trainable_job(epochs=2), tmp_path / "auto").engine == "reference"
    record = train(trainable_job(epochs=2), tmp_path / "fast", engine="fast")
    assert (record.status, record.engine) == ("ok", "fast_torch")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_a_library_is_compiled_in_full_or_not_kept(anew: Callable[[str], ctypes.CDLL | None], own_cache: Path) -> None:
    """A compiler that is killed now and then leaves no slower library, and a damaged one is made anew."""
    killed = f'[ $n -lt {len(build.FLAGS) + 1} ] && {{ echo "cc: Killed signal" >&2; exit 1; }}; exec gcc "$@"'
    assert anew(killed) is not None  # from the temporary folder, its second try
    assert list(own_cache.iterdir()) == []
    assert anew('exec gcc "$@"') is not None
    (whole,) = own_cache.glob("*.so")
    assert whole.stat().st_mode & 0o444 == 0o444
    content = whole.read_bytes()
    whole.unlink()  # this process has it open
    whole.write_bytes(content[:100_000])
    assert anew('exec gcc "$@"') is not None
    assert whole.stat().st_size == len(content)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_a_compiler_may_lack_some_flags(anew: Callable[[str], ctypes.CDLL | None]) -> None:
    unknown = "echo 'cc: error: unrecognized command-line option -mprefer-vector-width=512' >&2; exit 1"
    assert anew(f'case "$*" in *prefer-vector*) {unknown};; esac; exec gcc "$@"') is not None


def test_the_library_is_kept_in_the_cache(own_cache: Path) -> None:
    build.library.cache_clear()
    assert build.library() is not None
    (kept,) = own_cache.iterdir()
    made = kept.stat().st_mtime_ns
    build.library.cache_clear()
    assert build.library() is not None and kept.stat().st_mtime_ns == made
    build.library.cache_clear()


def test_automatic_precision_is_float32_where_bfloat16_is_not_possible() -> None:
    how = smoke_protocol()
    italy = trainable_job().passport
    passports = {"ItalyPowerDemand": italy, "Mine": {**italy, "n_channels": 2}, "Short": {**italy, "length": 1}}
    models = {"fcn": small_config("fcn"), "mlp": small_config("mlp")}
    jobs = plan.jobs(passports, models, how, how, [0], [0], "bfloat16", if_possible=True)
    found = {(job.dataset, job.architecture): (job.precision, job.protocol) for job in jobs}
    fast = {("ItalyPowerDemand", "fcn"), ("Mine", "fcn")}
    assert {found[key] for key in fast} == {("bfloat16", "smoke[precision=bfloat16]")}
    assert {found[key] for key in found.keys() - fast} == {("float32", "smoke")} and len(found) == 6


@pytest.mark.parametrize("has_it", [True, False])
def test_automatic_precision_is_the_processor_s(has_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "has_bfloat16", lambda: has_it)
    words = ["dataset=ItalyPowerDemand", "engine.precision=auto"]
    composed = compose(words)
    (job,), _ = planned_jobs(*composed)
    assert job.precision == ("bfloat16" if has_it else "float32")
    (job,), _ = planned_jobs(*compose([*words, "engine.name=reference"]))
    assert job.precision == "float32"

"""Devices: which there are, what a run says of them, and that nothing but the loss is read back from one.

A machine without a GPU shows that much: with torch's fake tensors, which have a device and no values.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.factories import train
from tests.records import require
from tsfcn.common import device
from tsfcn.common.device import check_device
from tsfcn.common.errors import UserError
from tsfcn.config import models, protocol
from tsfcn.config.compose import compose
from tsfcn.config.overrides import command_line
from tsfcn.data import archive
from tsfcn.jobs import lease, plan, run_job
from tsfcn.jobs.executors import threads
from tsfcn.jobs.plan import Job
from tsfcn.jobs.queue import Queue
from tsfcn.training import select_engine
from tsfcn.training.checkpoint import Stopped
from tsfcn.training.fused import build
from tsfcn.training.reference import fit

ROOT = Path(__file__).resolve().parents[3]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")


def planned(*words: str) -> list[Job]:
    """Return the jobs of a small network on a bundled dataset under the smoke protocol."""
    run, unchanged = compose(["protocol=smoke", *words])
    passports = {"ItalyPowerDemand": dict(archive.passport("ItalyPowerDemand"))}
    return plan.jobs(passports, run.model.configs(), run.protocol, unchanged, [0], [0], run.engine.precision)


# ---------------------------------------------------------------------------------------------------------------------
# The setting


@pytest.mark.parametrize("word", ["cpu", "cuda", "cuda:0", "cuda:12", "mps", "auto"])
def test_the_forms_of_a_device_are_accepted(word: str) -> None:
    assert compose([f"device={word}"])[0].device == word


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("gpu", "did you mean 'device=cuda'? Use one of "),
        ("GPU:1", "did you mean 'device=cuda:1'? Use one of "),
        ("CUDA", "did you mean 'device=cuda'? Use one of "),
        ("cuda0", "did you mean 'device=cuda:0'? Use one of "),
        ("0", "did you mean 'device=cuda:0'? Use one of "),
        ("cdua", "did you mean 'device=cuda'? Use one of "),
        ("cpu:0", "did you mean 'device=cpu'? Use one of "),
        ("cuda:-1", "did you mean 'device=cuda:1'? Use one of "),
        ("xla", "use one of "),
        ("", "use one of "),
    ],
)
def test_another_form_of_device_is_refused_with_the_forms(word: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        check_device(word)
    assert str(error.value) == f"device={word} is not known: {hint}cpu, cuda, cuda:N, mps, auto"


def test_device_is_not_in_the_key_nor_in_the_command_that_made_a_table() -> None:
    assert [made.key for made in planned("device=cuda")] == [made.key for made in planned()]
    assert command_line(["dataset=Coffee", "device=cuda:1"]) == "python -m tsfcn.run dataset=Coffee"


def test_the_cpu_needs_no_torch_and_nothing_is_said_of_it() -> None:
    code = (
        "import sys; from tsfcn import run; from tsfcn.common import device; "
        "device.resolve('cpu'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert device.announcement("cpu", "cpu") == "" and device.description("cpu") == {} and device.gpu("cpu") == ""


@no_gpu
@pytest.mark.parametrize("word", ["cuda", "cuda:3"])
def test_a_device_that_is_not_there_is_refused_with_what_to_do(word: str) -> None:
    with pytest.raises(UserError) as error:
        device.resolve(word)
    message = str(error.value)
    assert message.startswith(f"device={word} is not available: ") and message.endswith(", or use device=cpu")
    if torch.version.cuda is None and torch.version.hip is None:
        assert f"this torch ({torch.__version__}) was built without CUDA: install a CUDA build of torch" in message
    else:
        assert "nvidia-smi" in message


@no_gpu
def test_auto_is_the_cpu_where_there_is_no_gpu_and_says_why() -> None:
    if device.mps_obstacle():
        assert device.resolve("auto") == "cpu"
        line = device.announcement("auto", "cpu")
        assert (line.startswith("device=auto: cpu, since ") and "CUDA" in line) or "GPU" in line


def test_torch_is_left_as_it_is_for_the_cpu() -> None:
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    device.prepare("cpu")
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == before
    with device.stream("cpu"):
        value = torch.arange(3)
        assert device.upload(value, torch.device("cpu")) is value


# ---------------------------------------------------------------------------------------------------------------------
# Engine, precision, records


def test_a_gpu_has_a_fast_engine_of_its_own_without_a_compiler() -> None:
    def of(chosen: str, name: str, *words: str, n_timepoints: int = 24) -> str:
        job = planned(*words)[0]
        return select_engine.select_engine(
            *(job.architecture, job.model_config(), job.resolved(), chosen),
            n_timepoints=n_timepoints,
            device=name,
        ).name

    assert of("auto", "cuda:0") == of("fast", "cuda:1") == "fast_cuda"
    assert of("reference", "cuda:0") == of("auto", "cuda:0", n_timepoints=1) == "reference"
    assert of("auto", "cuda:0", "model=resnet") == of("auto", "cuda:0", "protocol.validation=0.2") == "reference"
    assert of("auto", "mps") == of("fast", "mps") == "reference"


def test_automatic_precision_of_a_gpu_does_not_depend_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "has_bfloat16", lambda: True)
    assert (
        select_engine.automatic_precision("auto") == "bfloat16"
        and select_engine.automatic_precision("reference") == "float32"
    )
    assert {select_engine.automatic_precision("auto", name) for name in ("cuda:0", "mps")} == {"float32"}


def test_what_a_gpu_has_no_memory_for_is_told_with_the_settings_that_help() -> None:
    error: RuntimeError = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which\nmore"
    )
    remedy = "use a smaller executor.per_device or protocol.batch_size"
    assert run_job.memory_reason(error, "cuda:0") == (
        f"out of memory: CUDA out of memory. Tried to allocate 2.00 GiB; {remedy}"
    )
    error = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    assert run_job.memory_reason(error, "cuda:0") == f"out of memory: {error}; {remedy}"
    assert run_job.memory_reason(RuntimeError("CUDA error: device-side assert triggered"), "cuda:0") == ""


def test_a_record_of_the_cpu_has_no_field_of_a_gpu(tmp_path: Path) -> None:
    record = train(planned("model.fcn.filters=[3]", "model.fcn.kernels=[3]")[0], tmp_path)
    assert record.device == "cpu" and not {"gpu", "driver", "cuda", "cudnn", "deterministic"} & record.to_json().keys()


# ---------------------------------------------------------------------------------------------------------------------
# Training on a device, without one

FAKE = """
import sys, traceback
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tsfcn.models import registry
from tsfcn.training import predict
from tsfcn.training import reference
from tsfcn.config.compose import compose
from tsfcn.config.protocol import settings

_setup_privateuseone_for_python_backend("fakegpu")

def to(self, device, dtype=None):  # Module.to swaps tensors in place, which fake ones do not allow
    for module in self.modules():
        for name, value in module._parameters.items():
            module._parameters[name] = nn.Parameter(value.detach().to(device, dtype))
        for name, value in module._buffers.items():
            kind = dtype if dtype and value.is_floating_point() else value.dtype
            module._buffers[name] = torch.zeros(value.shape, dtype=kind, device=device)
    return self

nn.Module.to = to
run, _ = compose(sys.argv[1:])
((name, config),) = run.model.configs().items()
with FakeTensorMode():
    x = torch.zeros(11, 1, 12, device="fakegpu")
    y = torch.zeros(11, dtype=torch.long, device="fakegpu")
    try:
        reference.fit(name, config, settings(run.protocol, name, config), x, y, 3, 0, cells=3)
    except DataDependentOutputException as error:
        frames = traceback.extract_tb(error.__traceback__)
        print([frame.line for frame in frames if frame.filename == reference.__file__][-1])
    predicted = predict.predict(registry.build(name, config, 1, 12, 3, 3).to("fakegpu"), x)
    print(predicted.device, predicted.dtype)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["model=fcn"],
        ["model=lstm_fcn"],
        ["model=alstm_fcn", "model.alstm_fcn.shuffle=false"],
        ["model=mlp"],
        ["model=resnet", "model.resnet.input_norm=true"],
    ],
    ids=lambda words: str(words[0]),
)
def test_an_epoch_on_a_device_meets_no_tensor_of_the_cpu_and_reads_nothing_but_its_loss(words: list[str]) -> None:
    """Fake tensors refuse operations on two devices, and to give a value: training stops where it first wants one."""
    words = ["protocol=wang2017" if words == ["model=mlp"] else "protocol=smoke", "protocol.batch_size=4", *words]
    done = subprocess.run(
        [sys.executable, "-c", FAKE, *words, "protocol.batch_divisor=0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert done.stdout.splitlines() == ["return total.item() / len(x)", "cpu torch.float64"]


# ---------------------------------------------------------------------------------------------------------------------
# Training on a GPU

SMALL = ("model.{0}.filters=[6,5,4]", "model.{0}.kernels=[8,5,3]")
LOOPS = {
    "fcn": (),
    "lstm_fcn": ("protocol.cells=[3,5]", "protocol.class_weights=balanced"),
    "alstm_fcn": ("model.alstm_fcn.shuffle=false", "protocol.cells=[3]", "protocol.length=mask"),
    "mlp": ("protocol.optimiser=adadelta", "protocol.rho=0.95", "protocol.eps=1e-6"),
    "resnet": ("protocol.validation=0.3", "protocol.select=validation"),
    "inception": ("model.inception.filters=4", "model.inception.depth=3"),
    "lite": ("model.lite.filters=4", "protocol.length=mask"),
    "encoder": ("model.encoder.filters=[6,6]", "model.encoder.kernels=[5,3]"),
    "mlstm_fcn": ("protocol.cells=[3]",),
}


def reference(model: str, precision: str = "float64") -> Job:
    sizes = tuple(word.format(model) for word in SMALL) if model.endswith("fcn") else ()
    words = (f"model={model}", *sizes, *LOOPS[model], f"engine.precision={precision}", "protocol.batch_size=32")
    return planned(*words)[0]


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("model", LOOPS)
def test_the_reference_loop_on_a_gpu_is_that_of_the_cpu_up_to_rounding(model: str, tmp_path: Path) -> None:
    made = reference(model)
    here = train(made, tmp_path / "cpu", engine="reference")
    there = train(made, tmp_path / "gpu", engine="reference", device=device.resolve("cuda"))
    assert (here.status, there.status, there.device) == ("ok", "ok", "cuda:0"), there.reason
    assert there.gpu and there.hardware.startswith(f"{there.gpu} + ") and there.deterministic is True
    for name in ("least_train_loss", "train_cross_entropy", "cross_entropy", "accuracy"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-9), name
    again = train(made, tmp_path / "again", engine="reference", device="cuda:0")
    assert again.train_cross_entropy == there.train_cross_entropy


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("shuffle", [True, False])
def test_series_of_unequal_length_train_on_a_gpu_as_on_the_cpu(shuffle: bool) -> None:
    run, _ = compose(["protocol=smoke", "model=alstm_fcn", "protocol.length=mask", "protocol.validation=0.3"])
    network = models.LSTMFCNConfig(filters=[6, 5, 4], shuffle=shuffle)
    chosen = protocol.settings(run.protocol, "alstm_fcn", network)
    draw = torch.Generator().manual_seed(0)
    x, lengths = torch.randn(23, 1, 12, generator=draw, dtype=torch.float64), torch.arange(23) % 9 + 4
    y = torch.arange(23) % 3
    found = []
    for name in ("cpu", "cuda:0"):
        there = x.to(name), y.to(name)
        found.append(
            fit(*("alstm_fcn", network, chosen, *there, 3, 0), lengths=lengths, cells=3, oracle=(*there, lengths))
        )
    assert found[1].curve.loss == pytest.approx(found[0].curve.loss, rel=1e-9)
    assert found[1].train_cross_entropy == pytest.approx(found[0].train_cross_entropy, rel=1e-9)
    assert found[1].best_epoch == found[0].best_epoch


@gpu
@pytest.mark.gpu
def test_threads_on_a_gpu_leave_the_records_of_one_job_after_the_other(tmp_path: Path) -> None:
    made = [replace(reference("lstm_fcn", "float32"), seed=seed) for seed in range(4)]
    found = []
    for n_at_a_time in (1, 4):
        results = tmp_path / str(n_at_a_time)
        with lease.Runner(results) as runner:
            queue = Queue(made, results, runner)
            ends = threads.run(queue, plan.Terms(engine="reference", device="cuda:0"), n_at_a_time)
            records = {event.job.seed: require(event.record) for event in ends if event.kind == "end"}
        assert {record.status for record in records.values()} == {"ok"}
        found.append({seed: record.train_cross_entropy for seed, record in records.items()})
    assert found[0] == found[1]


@gpu
@pytest.mark.gpu
def test_a_training_on_a_gpu_goes_on_from_its_checkpoint_and_not_from_one_of_the_cpu(tmp_path: Path) -> None:
    made = reference("lstm_fcn", "float32")
    whole = train(made, tmp_path / "whole", engine="reference", device="cuda:0")
    for name in ("cuda:0", "cpu"):
        results = tmp_path / name
        asked = iter([False, True])
        with pytest.raises(Stopped):
            train(made, results, engine="reference", device=name, stop=lambda asked=asked: next(asked, True))
        record = train(made, results, engine="reference", device="cuda:0")
        assert record.resumed_epochs == ([2] if name == "cuda:0" else [])
        assert record.train_cross_entropy == whole.train_cross_entropy


@gpu
@pytest.mark.gpu
def test_float32_on_a_gpu_is_float32(tmp_path: Path) -> None:
    """TF32 would round the operands of products to 10 bits."""
    device.prepare("cuda:0")
    a, b = (torch.randn(256, 256, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    exact = a.double() @ b.double()
    assert (a.cuda() @ b.cuda() - exact.cuda()).abs().max() < 2e-4
    x, kernel = a[None], torch.randn(64, 256, 5, generator=torch.Generator().manual_seed(2))
    convolved = torch.nn.functional.conv1d(x.cuda(), kernel.cuda()).cpu()
    assert (convolved - torch.nn.functional.conv1d(x.double(), kernel.double())).abs().max() < 5e-4

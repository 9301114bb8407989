"""Which device and which floating-point type are chosen; GPUs are pretended."""

from __future__ import annotations

import pytest
import torch

from glnet_geo.devices import choose_device, choose_dtype, warn_of_slowness
from glnet_geo.errors import GlnetGeoError
from glnet_geo.precision import Precision

CPU, MPS, CUDA = torch.device("cpu"), torch.device("mps"), torch.device("cuda")
NAMED = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


@pytest.fixture
def gpu(monkeypatch):
    """Pretends that the GPU is of some generation."""

    def pretend(major, minor=0):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))

    return pretend


def test_device_that_is_not_there():
    assert choose_device("cpu") == CPU
    with pytest.raises(GlnetGeoError, match="cannot be used here"):
        choose_device("cuda:7")
    with pytest.raises(GlnetGeoError, match="cannot be used here"):
        choose_device("toaster")


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "device"), [(True, True, CUDA), (False, True, MPS), (False, False, CPU)]
)
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, has_cuda, has_mps, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert choose_device("auto") == device


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((6, 1), torch.float32),
        ((7, 5), torch.float32),
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ],
)
def test_a_gpu_runs_in_what_its_generation_multiplies(gpu, capability, dtype):
    gpu(*capability)
    assert choose_dtype(Precision.AUTO, CUDA, reference=False) == dtype


def test_gpus_of_amd_are_not_taken_for_nvidias(gpu, monkeypatch):
    gpu(11)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert choose_dtype(Precision.AUTO, CUDA, reference=False) == torch.float32


@pytest.mark.parametrize("device", [CPU, MPS])
def test_all_else_runs_in_single_precision(device):
    assert choose_dtype(Precision.AUTO, device, reference=False) == torch.float32


@pytest.mark.parametrize("device", [CPU, MPS, CUDA])
def test_the_references_arithmetic_is_in_single_precision(gpu, device):
    gpu(9)
    assert choose_dtype(Precision.AUTO, device, reference=True) == torch.float32


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("device", [CPU, MPS, CUDA])
@pytest.mark.parametrize("precision", NAMED)
def test_a_precision_that_is_named_is_taken(gpu, precision, device, reference):
    gpu(6)
    assert choose_dtype(precision, device, reference) == NAMED[precision]


@pytest.mark.parametrize(
    ("precision", "device", "has_gpu", "is_slow"),
    [
        ("fp16", "cpu", False, True),
        ("fp16", "cpu", True, True),
        ("fp16", "cpu:0", True, True),
        ("fp16", "auto", False, True),
        ("fp16", "auto", True, False),
        # Perhaps on another machine.
        ("fp16", "cuda:7", False, False),
        ("bf16", "cpu", False, False),
        ("fp32", "auto", False, False),
        ("auto", "cpu", False, False),
    ],
)
def test_half_precision_that_a_cpu_is_slow_in_is_warned_of(
    monkeypatch, caplog, precision, device, has_gpu, is_slow
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    warn_of_slowness(Precision(precision), device)
    assert ["Take bf16 or fp32" in message for message in caplog.messages] == [True] * is_slow

"""Where networks run, and in which floating-point type."""

from __future__ import annotations

import logging

import torch

from glnet_geo.errors import GlnetGeoError
from glnet_geo.precision import Precision

_log = logging.getLogger(__name__)
_AMPERE = 8  # the first generation of GPUs that multiplies matrices in bf16
_TYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" takes a GPU where there is one.

    Raises:
        GlnetGeoError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0][:100]
        raise GlnetGeoError(f"Device {name!r} cannot be used here: {reason}") from None
    return device


def count_gpus() -> int:
    """GPUs that can be told apart by CUDA_VISIBLE_DEVICES."""
    return torch.cuda.device_count()


def choose_dtype(precision: Precision, device: torch.device, reference: bool) -> torch.dtype:
    """The floating-point type for a device.

    "auto" is bf16 on NVIDIA GPUs that multiply in it. It is fp32 on all else: on older ones because
    fp16 may overflow (and some of them convolve to NaN in it, pytorch/pytorch#58123), on a CPU so
    that a map does not depend on which one (some are slower in half precision, some faster), on
    other GPUs because nothing was tried there; and wherever the reference's arithmetic is followed.
    """
    if precision is not Precision.AUTO:
        return _TYPES[precision]
    # To PyTorch, GPUs of AMD are "cuda" too.
    if device.type != "cuda" or torch.version.hip or reference:
        return torch.float32
    generation, _ = torch.cuda.get_device_capability(device)
    return torch.bfloat16 if generation >= _AMPERE else torch.float32


def precision_of(dtype: torch.dtype) -> Precision:
    """The name of a floating-point type."""
    return next(name for name, known in _TYPES.items() if known == dtype)


def warn_of_slowness(precision: Precision, device: str) -> None:
    """Says, once a run, that a precision asked for makes it slow.

    Args:
        precision: What was asked for.
        device: A device by name; "auto" is what this process would take.
    """
    name = choose_device(device).type if device == "auto" else device
    if precision is Precision.FP16 and name.partition(":")[0] == "cpu":
        # Measured on an AMD Zen 5: 33 s a frame, where fp32 took 1.1 s.
        _log.warning(
            "--precision fp16 is slow on a CPU: where it was measured, it took 30 times as long as "
            "fp32. Take bf16 or fp32."
        )

"""The floating-point types in which networks run."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """The type of weights and maps; `devices.choose_dtype` says what `AUTO` is."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"

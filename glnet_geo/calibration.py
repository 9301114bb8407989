"""How sure a model may say it is: temperature scaling.

Networks are too sure of themselves, or, with a focal loss, not sure enough. One number, by which
all scores are divided before the softmax, mends most of it and changes no class (Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017). It is fitted on scenes that were not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_BINS = 15  # of confidence, as in the paper
_RANGE = (0.05, 20.0)  # temperatures
_PRECISION = 1.0005  # of a temperature, as a factor


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPixels:
    """What networks say of pixels whose class is known.

    Attributes:
        scores: N x K, before the softmax.
        truth: N, positions of the true classes, 0..K-1.
    """

    scores: npt.NDArray[np.float32]
    truth: npt.NDArray[np.uint8]

    @classmethod
    def join(cls, parts: Sequence[ScoredPixels]) -> ScoredPixels:
        """Pixels of several scenes as one set."""
        scores = np.concatenate([part.scores for part in parts])
        return cls(scores, np.concatenate([part.truth for part in parts]))

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted temperature.

    Attributes:
        temperature: What scores are to be divided by.
        error_before: Expected calibration error without, 0-1.
        error: With it, on the pixels that it was fitted on.
        pixels: How many those are.
    """

    temperature: float
    error_before: float
    error: float
    pixels: int

    @classmethod
    def fit(cls, pixels: ScoredPixels) -> Calibration:
        """Fits the temperature to pixels, at least one."""
        temperature = fit_temperature(pixels)
        return cls(
            temperature,
            calibration_error(pixels),
            calibration_error(pixels, temperature),
            len(pixels),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of model cards."""
        return {
            "temperature": round(self.temperature, 3),
            "expected_calibration_error": round(self.error, 4),
            "without_temperature": round(self.error_before, 4),
            "pixels": self.pixels,
        }


def fit_temperature(pixels: ScoredPixels) -> float:
    """The temperature with the smallest negative log-likelihood, within 0.05 to 20."""
    low, high = _RANGE
    scores, truth = pixels.scores, pixels.truth
    own = scores[np.arange(len(truth)), truth].mean(dtype=np.float64)
    # The likelihood is convex in 1/temperature: its slope changes sign once.
    while high / low > _PRECISION:
        middle = math.sqrt(low * high)
        expected = (np.exp(_log_softmax(scores, middle)) * scores).sum(1).mean()
        if expected > own:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def calibration_error(pixels: ScoredPixels, temperature: float = 1.0) -> float:
    """Expected calibration error of the likeliest class: |share of hits - confidence|, 0-1.

    The mean over fifteen equal ranges of confidence, weighted by the pixels in them.
    """
    probabilities = np.exp(_log_softmax(pixels.scores, temperature))
    confidence = probabilities.max(1)
    hits = probabilities.argmax(1) == pixels.truth
    bins = np.minimum((confidence * _BINS).astype(np.intp), _BINS - 1)
    gaps = np.bincount(bins, hits - confidence, _BINS)
    return float(np.abs(gaps).sum() / len(pixels))


def _log_softmax(scores: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    scaled = scores.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    result: npt.NDArray[np.float64] = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
    return result

"""How sure a map is, pixel by pixel, from the scores of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.uint8]
"""B x H x W; 0 to 254 stand for 0 to 1."""

ONE = 254
"""The value that stands for 1; 255 is nodata."""


class Layer(StrEnum):
    """What can be told of every pixel besides its class."""

    PROBABILITIES = "probabilities"
    CONFIDENCE = "confidence"
    DISAGREEMENT = "disagreement"


@dataclass(frozen=True, slots=True)
class Gauge:
    """Turns scores into layers.

    Attributes:
        classes: Names of the classes by position of their scores, those that are never predicted
            left out.
        layers: Which layers are wanted.
        temperature: What makes the scores' softmax as sure as it is right; None where nobody has
            measured it.
    """

    classes: Mapping[int, str]
    layers: Sequence[Layer]
    temperature: float | None

    def bands(self, layer: Layer) -> tuple[str, ...]:
        """Names of a layer's bands."""
        return tuple(self.classes.values()) if layer is Layer.PROBABILITIES else (layer.value,)

    def meaning(self, layer: Layer) -> str:
        """What a layer's values are, for its tags and for people."""
        if layer is Layer.DISAGREEMENT:
            return "1 minus the overlap of what the local and the global branch say alone"
        if self.temperature is None:
            scores = "softmax of the scores, not calibrated"
            if layer is Layer.PROBABILITIES:
                return scores
            return f"margin between the two likeliest classes, {scores}"
        calibrated = f"calibrated with temperature {self.temperature:.4g}"
        if layer is Layer.PROBABILITIES:
            return f"probability of each class, {calibrated}"
        return f"probability that the class is right, {calibrated}"

    @property
    def n_bands(self) -> int:
        """Bands of all layers."""
        return sum(len(self.bands(layer)) for layer in self.layers)

    def slices(self) -> dict[Layer, slice]:
        """Where the bands of each layer are in what `measure` gives."""
        bounds = accumulate((len(self.bands(layer)) for layer in self.layers), initial=0)
        return {
            layer: slice(*pair) for layer, pair in zip(self.layers, pairwise(bounds), strict=True)
        }

    def measure(self, scores: npt.NDArray[np.float32]) -> Values:
        """The layers of some pixels, one after the other, as `slices` says.

        Args:
            scores: At least K x H x W, by position in the legend; disagreement, 0-1, is the last.
        """
        found: dict[Layer, npt.NDArray[np.float32]] = {}
        if Layer.DISAGREEMENT in self.layers:
            found[Layer.DISAGREEMENT] = scores[-1:] * np.float32(ONE)
        if {Layer.PROBABILITIES, Layer.CONFIDENCE} & set(self.layers):
            found |= self._of_classes(scores[list(self.classes)])
        values = np.empty((self.n_bands, *scores.shape[1:]), np.uint8)
        for layer, bands in self.slices().items():
            np.rint(found[layer], out=values[bands], casting="unsafe")
        return values

    def _of_classes(self, scores: npt.NDArray[np.float32]) -> dict[Layer, npt.NDArray[np.float32]]:
        """What depends on the classes' scores, 0 to `ONE`."""
        found: dict[Layer, npt.NDArray[np.float32]] = {}
        # Relative to the likeliest class, whose weight is 1.
        weights = scores - scores.max(0)
        if self.temperature is not None:
            weights /= np.float32(self.temperature)
        np.exp(weights, out=weights)
        unit = np.float32(ONE) / weights.sum(0)
        if Layer.CONFIDENCE in self.layers:
            sure = unit if self.temperature is not None else unit * (1 - _second(weights))
            found[Layer.CONFIDENCE] = sure[None]
        if Layer.PROBABILITIES in self.layers:
            found[Layer.PROBABILITIES] = weights * unit
        return found


def _second(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The second highest of K x H x W; 0 of a single class. A partition takes far longer."""
    best: npt.NDArray[np.float32] = values[0].copy()
    second: npt.NDArray[np.float32] = np.zeros_like(best)
    for value in values[1:]:
        np.maximum(second, np.minimum(best, value), out=second)
        np.maximum(best, value, out=best)
    return second

"""Pixel values of any type to the 0-255 that models are trained on.

The mapping belongs to the scene, never to a window of it: windows stretched one by one would shift
dark ones to another class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from glnet_geo.errors import RasterError
from glnet_geo.scene import Scene

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0
"""What 0 and 255 stand for, band by band, in scenes that are not uint8."""

_SAMPLE_SIDE = 1024  # of the decimated read from which percentiles are taken


@dataclass(frozen=True, slots=True)
class Stretch:
    """A linear mapping of pixel values to 0-255, clipped.

    Attributes:
        low: Value that becomes 0, band by band; empty where uint8 passes as it is.
        high: Value that becomes 255, band by band.
        is_given: Whether the values were given, not found in the scene.
    """

    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    is_given: bool = False

    def tags(self) -> dict[str, str]:
        """The mapping as tags of a map: what one needs to repeat it with `--scale`."""
        if not self.low:
            return {"SCALE": "none"}
        found = f"percentiles {LOW_PERCENTILE:g} and {HIGH_PERCENTILE:g} of the scene"
        pairs = (f"{low!r},{high!r}" for low, high in zip(self.low, self.high, strict=True))
        return {"SCALE": " ".join(pairs), "SCALE_SOURCE": "given" if self.is_given else found}

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Maps C x H x W pixels to uint8; what is not finite becomes 0."""
        if not self.low:
            return pixels.astype(np.uint8, copy=False)
        shape = (-1, 1, 1)
        precise = np.promote_types(pixels.dtype, np.float32)
        low = np.array(self.low, precise).reshape(shape)
        high = np.array(self.high, precise).reshape(shape)
        with np.errstate(invalid="ignore", over="ignore"):
            shares = (pixels.astype(precise) - low) / np.where(high > low, high - low, 1)
            # Clipped before it is multiplied: values near the end of the range must not overflow.
            shares = np.where(np.isfinite(pixels), np.clip(shares, 0, 1), 0)
        return (shares * 255 + 0.5).astype(np.uint8)


def find_stretch(scene: Scene, scale: Sequence[tuple[float, float]] = ()) -> Stretch:
    """The mapping for a scene.

    Args:
        scene: The scene.
        scale: Values that become 0 and 255: one pair for each band, or one for all. Empty for
            uint8 as it is, and percentiles of the valid pixels of all other types.

    Raises:
        RasterError: The number of pairs is another than that of the bands, or a pair does not rise.
    """
    if scale:
        return _given_stretch(scene, scale)
    if scene.dtype == np.uint8:
        return Stretch()
    bands = [_limits(values) for values in scene.sample(_SAMPLE_SIDE)]
    low, high = zip(*bands, strict=True)
    return Stretch(low, high)


def _limits(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Percentiles of a band's values; a pixel that is valid through another may have none."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 0.0, 255.0
    low, high = np.percentile(finite, [LOW_PERCENTILE, HIGH_PERCENTILE])
    return float(low), float(high)


def _given_stretch(scene: Scene, scale: Sequence[tuple[float, float]]) -> Stretch:
    count = scene.n_bands
    if len(scale) not in (1, count):
        raise RasterError(
            f"--scale is given {len(scale)} times; {scene.path} has {count} bands in use. Give it "
            "once for all, or once for each."
        )
    if not all(math.isfinite(low) and math.isfinite(high) and low < high for low, high in scale):
        raise RasterError("--scale needs two numbers, the smaller one first, such as 0,3000.")
    low, high = zip(*scale, strict=True)
    return Stretch(low * (count // len(low)), high * (count // len(high)), is_given=True)


def shrink(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The global view: Pillow's bilinear, which is area-aware, and rounds to uint8.

    This is how the reference makes it (tests/data/reference/README.md, step 2).

    Args:
        pixels: C x H x W.
        height: Rows of the result.
        width: Columns of the result.
    """
    if pixels.shape[1:] == (height, width):
        return pixels
    bilinear = Image.Resampling.BILINEAR
    bands = [np.asarray(Image.fromarray(band).resize((width, height), bilinear)) for band in pixels]
    return np.stack(bands)

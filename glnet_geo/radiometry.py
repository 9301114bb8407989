"""Pixel values of any type to the 0-255 that models are trained on.

The mapping belongs to the scene, never to a window of it: windows stretched one by one would shift
dark ones to another class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from glnet_geo.raster import SceneReader

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0
"""What 0 and 255 stand for, band by band, in scenes that are not uint8."""

_SAMPLE_SIDE = 1024  # of the decimated read from which percentiles are taken


@dataclass(frozen=True, slots=True)
class Stretch:
    """A linear mapping of pixel values to 0-255, clipped.

    Attributes:
        low: Value that becomes 0, band by band; empty where uint8 passes as it is.
        high: Value that becomes 255, band by band.
    """

    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

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


def find_stretch(scene: SceneReader) -> Stretch:
    """The mapping for a scene: none for uint8, else percentiles of its valid pixels."""
    if scene.dtype == np.uint8:
        return Stretch()
    values = scene.sample(_SAMPLE_SIDE)
    if values.shape[1] == 0:
        return Stretch((0.0,) * len(values), (255.0,) * len(values))
    low, high = np.percentile(values.astype(np.float64), [LOW_PERCENTILE, HIGH_PERCENTILE], axis=1)
    return Stretch(tuple(low.tolist()), tuple(high.tolist()))


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

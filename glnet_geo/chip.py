"""Pixels together with what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.grid import Grid

Pixels = npt.NDArray[Any]
"""C x H x W."""

Mask = npt.NDArray[np.bool_]
"""H x W, True where a pixel is valid."""


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """Pixels with what belongs to them.

    Attributes:
        pixels: C x H x W.
        valid: H x W, True where there is data; see `glnet_geo.validity.Validity`.
        grid: Where the pixels lie.
    """

    pixels: Pixels
    valid: Mask
    grid: Grid

    def __post_init__(self) -> None:
        size = (self.grid.height, self.grid.width)
        if self.pixels.shape[1:] != size or self.valid.shape != size:
            raise ValueError(
                f"pixels {self.pixels.shape} and mask {self.valid.shape} do not fit grid {size}"
            )

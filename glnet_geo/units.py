"""Lengths and areas as people give them: on the ground, or in pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.ground import Ground

_LARGEST = 1e18  # pixels that an area or the square of a length counts; no raster has as many


@dataclass(frozen=True, slots=True)
class Area:
    """An area.

    Attributes:
        value: In the unit.
        unit: "m2" or "px".

    Raises:
        GlnetGeoError: It is no number above 0.
    """

    value: float
    unit: str

    def __post_init__(self) -> None:
        _check_value(self.value, "area")

    def in_pixels(self, ground: Ground, what: str) -> npt.NDArray[np.float64]:
        """The area in pixels of each row.

        Args:
            ground: How large the pixels are.
            what: The option's name, for the message.

        Raises:
            RasterError: It is in m2, and the pixels have no size on the ground.
        """
        if self.unit == "px":
            return np.full(len(ground.row_area), min(self.value, _LARGEST))
        _check_size(ground, what, "100px")
        return np.minimum(self.value / ground.row_area, _LARGEST)

    def __str__(self) -> str:
        return f"{self.value:.12g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Length:
    """A length.

    Attributes:
        value: In the unit.
        unit: "m" or "px".

    Raises:
        GlnetGeoError: It is no number above 0.
    """

    value: float
    unit: str

    def __post_init__(self) -> None:
        _check_value(self.value, "length")

    def in_pixels(self, ground: Ground, what: str) -> float:
        """The length in sides of a square as large as the mean pixel; see `Area.in_pixels`."""
        pixels = self.value
        if self.unit != "px":
            _check_size(ground, what, "2px")
            pixels /= math.sqrt(ground.mean_area)
        return min(pixels, math.sqrt(_LARGEST))

    def __str__(self) -> str:
        return f"{self.value:.12g} {self.unit}"


def parse_length(text: object) -> Length | None:
    """Reads a length with its unit: `500m`, `50 cm`, `1.5km` or `64px`; None of anything else.

    Raises:
        GlnetGeoError: It is too large to be a number.
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?(km|cm|m|px)", str(text).strip(), re.ASCII)
    if not match or float(match[1]) == 0:
        return None
    if match[2] == "px":
        return Length(float(match[1]), "px")
    return Length(float(match[1]) * {"cm": 0.01, "m": 1.0, "km": 1000.0}[match[2]], "m")


def _check_value(value: float, what: str) -> None:
    if not 0 < value < math.inf:
        raise GlnetGeoError(f"{value} is no {what}. Give a number above 0.")


def _check_size(ground: Ground, what: str, example: str) -> None:
    if ground.unit == "px":
        raise RasterError(
            f"The raster has no CRS that says how large its pixels are. Give {what} in pixels, "
            f"such as {example}."
        )

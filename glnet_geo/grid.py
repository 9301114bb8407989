"""Pixel and ground arithmetic without any I/O.

Axis order is always (row, column) = (height, width) for pixels and (x, y) for the ground; the
types below carry it, so that no function takes a bare tuple of two numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from affine import Affine


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels; the border pixels belong to it.

    Attributes:
        top: Row of the first line, in pixels of the array that the window lies in.
        left: Column of the first pixel.
        height: Lines, at least 1.
        width: Pixels a line, at least 1.
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a window needs at least one pixel, got {self.height}x{self.width}")

    @property
    def bottom(self) -> int:
        """The first row below the window."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column right of the window."""
        return self.left + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the last two axes of an array in whose coordinates the window is given."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def contains(self, other: Window) -> bool:
        """Whether every pixel of `other` lies in this window."""
        return (
            self.top <= other.top
            and self.left <= other.left
            and other.bottom <= self.bottom
            and other.right <= self.right
        )

    def intersection(self, other: Window) -> Window | None:
        """The pixels that two windows share; None without any."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        if top >= bottom or left >= right:
            return None
        return Window(top, left, bottom - top, right - left)

    def rows(self, step: int) -> Iterator[Window]:
        """Windows of at most `step` rows of this one, of its width, from the top."""
        for top in range(self.top, self.bottom, step):
            yield Window(top, self.left, min(step, self.bottom - top), self.width)

    def relative_to(self, outer: Window) -> Window:
        """The same pixels in coordinates that start at the corner of `outer`."""
        return Window(self.top - outer.top, self.left - outer.left, self.height, self.width)

    def within(self, outer: Window) -> Window:
        """The same pixels in coordinates in which `outer` is given: undoes `relative_to`."""
        return Window(self.top + outer.top, self.left + outer.left, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a raster lie.

    Attributes:
        height: Rows.
        width: Columns.
        transform: From (column, row) of a pixel's corner to (x, y) in the CRS.
        crs: The coordinate reference system, as WKT2 where it was read from a file; None where
            there is none.
        pixel_area_m2: Area of a pixel on the ground in square metres; None without a CRS. The mean
            over the grid where a pixel's area depends on its place: good for the GSD, while areas
            of anything come from `georeference.ground_of`.
    """

    height: int
    width: int
    transform: Affine = field(default_factory=Affine.identity)
    crs: str | None = None
    pixel_area_m2: float | None = None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid needs at least one pixel, got {self.height}x{self.width}")

    @classmethod
    def north_up(
        cls, height: int, width: int, left: float, top: float, pixel_m: float, crs: str
    ) -> Grid:
        """A grid of square pixels in a projected CRS in metres.

        Args:
            height: Rows.
            width: Columns.
            left: x of the upper left corner in metres.
            top: y of the upper left corner in metres.
            pixel_m: Side of a pixel in metres.
            crs: The CRS.
        """
        transform = Affine(pixel_m, 0, left, 0, -pixel_m, top)
        return cls(height, width, transform, crs, pixel_m**2)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Grid:
        """Reads the JSON form.

        Raises:
            KeyError: Something is missing; likewise TypeError and ValueError.
        """
        transform = Affine(*table["transform"])
        return cls(table["height"], table["width"], transform, table["crs"], table["pixel_area_m2"])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "height": self.height,
            "width": self.width,
            "transform": list(self.transform)[:6],
            "crs": self.crs,
            "pixel_area_m2": self.pixel_area_m2,
        }

    @property
    def window(self) -> Window:
        """The whole grid as a window."""
        return Window(0, 0, self.height, self.width)

    @property
    def is_georeferenced(self) -> bool:
        """Whether the pixels have a place on the ground."""
        return self.crs is not None and not self.transform.is_identity

    @property
    def crs_label(self) -> str | None:
        """The CRS as people name it: EPSG:32640, or its own name; None where there is none."""
        if self.crs is None:
            return None
        identifier = re.search(r'ID\["([^"]+)",(\d+)\]\]$', self.crs)
        if identifier:
            return ":".join(identifier.groups())
        name = re.search(r'\["([^"]*)"', self.crs)
        return name.group(1) if name else self.crs

    @property
    def facts(self) -> str:
        """What a person wants to know first: "5450 x 6184 px, 0.5 m, EPSG:32640"."""
        gsd = f"{self.gsd_m:.3g} m" if self.gsd_m else None
        known = (f"{self.width} x {self.height} px", gsd, self.crs_label)
        return ", ".join(one for one in known if one)

    @property
    def gsd_m(self) -> float | None:
        """Ground sample distance in metres: the square root of a pixel's area."""
        return None if self.pixel_area_m2 is None else math.sqrt(self.pixel_area_m2)

    @property
    def pixel_sides_m(self) -> tuple[float, float] | None:
        """Height and width of a pixel in metres, at the centre; None without a CRS."""
        if self.pixel_area_m2 is None:
            return None
        place = self.transform
        ratio = math.hypot(place.a, place.d) / math.hypot(place.b, place.e)
        if self.crs is not None and self.crs.startswith("GEOG"):
            # A degree of longitude shrinks towards the poles.
            _, latitude = place @ (self.width / 2, self.height / 2)
            ratio *= math.cos(math.radians(latitude))
        root = math.sqrt(ratio) if ratio > 0 else 1.0
        return math.sqrt(self.pixel_area_m2) / root, math.sqrt(self.pixel_area_m2) * root

    def crop(self, window: Window) -> Grid:
        """The grid of the pixels in a window."""
        corner = Affine.translation(window.left, window.top)
        return Grid(
            window.height, window.width, self.transform @ corner, self.crs, self.pixel_area_m2
        )

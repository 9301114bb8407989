"""What a report of a map says, before it is a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from glnet_geo.class_table import MapClass
from glnet_geo.evaluation_result import Evaluation
from glnet_geo.grid import Grid
from glnet_geo.outline_drawing import OutlineDrawing
from glnet_geo.pyramids import Pyramid

# Maps of so many square metres and more have so many digits of a hectare.
_DIGITS = ((1e6, 1), (1e3, 3), (0.0, 6))


@dataclass(frozen=True, slots=True)
class ClassShare:
    """How much of a map a class is.

    Attributes:
        land_cover: The class.
        pixels: Its pixels.
        area: Their area, in square metres or pixels.
        share: That of all classes together is 1.
        confidence: Mean confidence of its pixels, 0-1; None where nobody knows.
    """

    land_cover: MapClass
    pixels: int
    area: float
    share: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure a map is.

    Attributes:
        mean: Mean confidence of the pixels that have a class, 0-1; None where none has any.
        meaning: What the values are, as their file says it; "" where it does not.
        counts: Pixels in ranges of the same width from 0 to 1.
        label: Name of the file.
        picture: Shades from unsure to sure.
    """

    mean: float | None
    meaning: str
    counts: tuple[int, ...]
    label: str
    picture: Pyramid


@dataclass(frozen=True, slots=True)
class ScenePicture:
    """The scene under a map.

    Attributes:
        label: Name of its file.
        picture: It.
        is_aligned: Whether it lies on another grid and was brought onto the map's.
    """

    label: str
    picture: Pyramid
    is_aligned: bool


@dataclass(frozen=True, slots=True, eq=False)
class ReportContent:
    """What a report of a map says.

    Attributes:
        label: Name of the map's file.
        grid: Its grid.
        classes: The classes that occur, the largest first.
        absent: Names of those that the file knows and that don't.
        nodata_pixels: Pixels without a class.
        area_rule: How areas were measured.
        unit: "m" where areas are in square metres, "px" where they are in pixels.
        picture: The map; positions of its palette are those of the classes.
        tags: What the map's file says about itself.
        file_facts: What is known of the file besides, by what it is called.
        scene: The scene; likewise polygons, confidence and scores, all None where not given.
    """

    label: str
    grid: Grid
    classes: tuple[ClassShare, ...]
    absent: tuple[str, ...]
    nodata_pixels: int
    area_rule: str
    unit: Literal["m", "px"]
    picture: Pyramid
    tags: Mapping[str, str]
    file_facts: Mapping[str, str]
    scene: ScenePicture | None = None
    outlines: OutlineDrawing | None = None
    certainty: Certainty | None = None
    evaluation: Evaluation | None = None

    @property
    def area(self) -> float:
        """Of all classes together."""
        return sum(one.area for one in self.classes)

    def area_text(self, area: float) -> str:
        """An area of the map in its unit; small maps have more digits."""
        return area_text(area, self.unit, self.area)


def area_text(area: float, unit: str, whole: float) -> str:
    """An area in hectares, or in pixels where there is no place.

    Args:
        area: In square metres or pixels.
        unit: "m" or "px".
        whole: The area that it is a part of, which sets the digits.
    """
    if unit == "px":
        return f"{area:,.0f} px"
    digits = next(digits for least, digits in _DIGITS if whole >= least)
    return f"{area / 1e4:,.{digits}f} ha"

"""Areas and lengths in metres and pixels."""

from __future__ import annotations

import numpy as np
import pytest

from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.ground import Ground
from glnet_geo.units import Area, Length

SMALL = Ground.uniform("planar", "m", 3, 0.25)
NOWHERE = Ground.uniform("pixels", "px", 3)
GROWING = Ground("equal-area", "m", np.array([1.0, 4.0, 10.0]), np.ones((3, 7)))


def test_areas_in_pixels_of_each_row() -> None:
    assert Area(5.0, "m2").in_pixels(SMALL, "--min-area").tolist() == [20.0] * 3
    assert Area(20.0, "m2").in_pixels(GROWING, "--min-area").tolist() == [20.0, 5.0, 2.0]


@pytest.mark.parametrize("ground", [SMALL, NOWHERE, GROWING])
def test_pixels_are_pixels_everywhere(ground: Ground) -> None:
    assert Area(7.5, "px").in_pixels(ground, "--min-area").tolist() == [7.5] * 3
    assert Length(1.5, "px").in_pixels(ground, "--simplify") == 1.5


def test_lengths_are_in_sides_of_the_mean_pixel() -> None:
    assert Length(1.0, "m").in_pixels(SMALL, "--simplify") == 2.0
    assert Length(10.0, "m").in_pixels(GROWING, "--simplify") == pytest.approx(10 / np.sqrt(5))


def test_metres_need_pixels_with_a_size() -> None:
    expected = r"no CRS that says how large its pixels are\. Give {} in pixels, such as {}\."
    with pytest.raises(RasterError, match=expected.format("--fill-holes", "100px")):
        Area(1.0, "m2").in_pixels(NOWHERE, "--fill-holes")
    with pytest.raises(RasterError, match=expected.format("--simplify", "2px")):
        Length(1.0, "m").in_pixels(NOWHERE, "--simplify")


@pytest.mark.parametrize("kind", [Area, Length])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_what_is_no_size_is_refused(kind: type[Area | Length], value: float) -> None:
    with pytest.raises(GlnetGeoError, match="Give a number above 0"):
        kind(value, "px")


@pytest.mark.parametrize("unit", ["px", "m"])
def test_what_is_larger_than_any_raster_stays_a_number_to_reckon_with(unit: str) -> None:
    area_unit = unit.replace("m", "m2")
    assert Area(1e300, area_unit).in_pixels(SMALL, "--min-area").max() == 1e18
    assert Length(1e300, unit).in_pixels(SMALL, "--simplify") == 1e9


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (Area(50.0, "m2"), "50 m2"),
        (Area(1_234_567.0, "m2"), "1234567 m2"),
        (Area(1.1 * 1e4, "m2"), "11000 m2"),
        (Area(0.1, "px"), "0.1 px"),
        (Length(30 * 0.01, "m"), "0.3 m"),
        (Length(12_345.678, "px"), "12345.678 px"),
    ],
)
def test_they_are_shown_with_all_their_digits(quantity: Area | Length, expected: str) -> None:
    assert str(quantity) == expected

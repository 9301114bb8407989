"""Areas and lengths as people type them."""

from __future__ import annotations

import click
import pytest

from glnet_geo.cli.values import AreaValue, LengthValue, Memory
from glnet_geo.units import Area, Length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50m2", Area(50.0, "m2")),
        (" 50 m2 ", Area(50.0, "m2")),
        ("0.5ha", Area(5000.0, "m2")),
        (".5ha", Area(5000.0, "m2")),
        ("100px", Area(100.0, "px")),
        ("2.px", Area(2.0, "px")),
        ("1.25 px", Area(1.25, "px")),
    ],
)
def test_areas(text: str, expected: Area) -> None:
    assert AreaValue().convert(text, None, None) == expected
    assert AreaValue().convert(expected, None, None) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5m", Length(1.5, "m")),
        ("50cm", Length(0.5, "m")),
        ("2px", Length(2.0, "px")),
        (".25 px", Length(0.25, "px")),
    ],
)
def test_lengths(text: str, expected: Length) -> None:
    assert LengthValue().convert(text, None, None) == expected
    assert LengthValue().convert(expected, None, None) is expected


WRONG = (
    "",
    "50",
    "-1{}",
    "0{}",
    "0.0{}",
    "1e3{}",
    "1,5{}",
    "inf{}",
    "nan{}",
    "{}",
    "5 5{}",
    "5{}x",
)


@pytest.mark.parametrize("text", [*(one.format("m2") for one in WRONG), "50m", "50km2", "50M2"])
def test_what_is_no_area(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not an area such as 50m2, 0\.5ha or 100px"):
        AreaValue().convert(text, None, None)


@pytest.mark.parametrize("text", [*(one.format("m") for one in WRONG), "50m2", "3ft"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a length such as 500m or 64px"):
        LengthValue().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GB", 2_000_000_000),
        ("500 MB", 500_000_000),
        ("1.5GiB", 3 << 29),
        ("512mib", 512 << 20),
        (1 << 30, 1 << 30),
    ],
)
def test_memory(text: str | int, expected: int) -> None:
    assert Memory().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["2", "GB", "-1GB", "0MB", "2 giga", "2Gb ram", ""])
def test_memory_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not an amount such as 2GB"):
        Memory().convert(text, None, None)

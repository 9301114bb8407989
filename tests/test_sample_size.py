"""How many points a sample needs, and which class gets how many."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glnet_geo.errors import GlnetGeoError
from glnet_geo.sample_size import SampleSize


@pytest.mark.parametrize(
    ("size", "pixels", "expected"),
    [
        (SampleSize(expected_accuracy=0.8, standard_error=0.01), 10**12, 1600),
        (SampleSize(), 10**12, 400),
        (SampleSize(expected_accuracy=0.9, standard_error=0.01), 10**12, 900),
        # Of 100 pixels not even all those of 400 can be drawn: 0.16 / (0.0004 + 0.0016).
        (SampleSize(), 100, 80),
    ],
)
def test_the_rule_of_the_paper(size: SampleSize, pixels: int, expected: int) -> None:
    assert size.required(pixels) == expected


def test_rare_classes_get_their_least_and_the_others_go_by_area() -> None:
    # The strata of the paper's example: 75 each for the rare ones, 490 for the rest by area.
    areas = [200_000.0, 150_000.0, 3_200_000.0, 6_450_000.0]
    points = SampleSize(640, min_per_class=75).allocate(areas, [int(one) for one in areas])
    assert points == [75, 75, 162, 328]


def test_a_class_with_few_pixels_gives_all() -> None:
    assert SampleSize(60).allocate([5.0, 995.0], [5, 995]) == [5, 55]
    assert SampleSize().allocate([1.0], [1]) == [1]


def test_without_a_total_rare_classes_add_to_the_rule() -> None:
    pixels = [10**6] * 20
    assert SampleSize().allocate([1.0] * 20, pixels) == [50] * 20


def test_too_few_points_are_shared_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        points = SampleSize(30).allocate([1.0, 1.0, 98.0], [100, 100, 9800])
    assert points == [10, 10, 10]
    assert caplog.messages == [
        "30 points are too few for 50 of each of the 3 classes; each gets about as many."
    ]


def test_more_points_than_pixels_are_all_pixels(caplog: pytest.LogCaptureFixture) -> None:
    assert SampleSize(500).allocate([3.0, 7.0], [3, 7]) == [3, 7]
    assert "only 10 pixels" in caplog.text


@given(
    st.integers(20, 3000),
    st.integers(2, 80),
    st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.1, 10)), min_size=1, max_size=10),
)
def test_all_points_are_given_out(total: int, least: int, classes: list[tuple[int, float]]) -> None:
    pixels = [n for n, _ in classes]
    areas = [n * area for n, area in classes]
    points = SampleSize(total, least).allocate(areas, pixels)
    assert sum(points) == min(total, sum(pixels))
    share = max(min(least, total // len(pixels)), 2)
    for n, most in zip(points, pixels, strict=True):
        assert min(share, most) <= n <= most


@pytest.mark.parametrize(
    "options",
    [
        {"total": 1},
        {"min_per_class": 1},
        {"expected_accuracy": 1.0},
        {"standard_error": 0.0},
        {"standard_error": float("nan")},
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(GlnetGeoError, match="Give"):
        SampleSize(**options)  # type: ignore[arg-type]


def test_too_few_points_for_the_classes_are_refused() -> None:
    with pytest.raises(GlnetGeoError, match=r"7 points are too few for 4 classes.*at least 8"):
        SampleSize(7).allocate([1.0] * 4, [100] * 4)

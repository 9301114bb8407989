"""Drawing pixels: uniform within a stratum, without replacement, by area where pixels differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.ground import Ground
from glnet_geo.runs import Runs
from glnet_geo.sample_design import Stratum
from glnet_geo.sample_drawing import draw_pixels, locate_ranks, measure_classes
from tests.class_maps import patches

Array = npt.NDArray[np.uint8]


def rows_of(labels: Array, step: int = 5, nodata: int = 0) -> Iterator[Runs]:
    for top in range(0, len(labels), step):
        part = labels[top : top + step]
        yield Runs.of(part, part != nodata, top)


def strata_of(labels: Array, ground: Ground, points: int) -> list[Stratum]:
    found = measure_classes(rows_of(labels), ground)
    return [
        Stratum(one, str(one), extent.pixels, extent.area, min(points, extent.pixels))
        for one, extent in found.items()
    ]


def sloping(height: int) -> Ground:
    """Pixels whose area falls from row to row, to a tenth."""
    metric = np.ones((3, 2 * height + 1))
    return Ground("sloping", "m", np.linspace(1, 0.1, height), metric)


def test_classes_are_measured_by_their_rows() -> None:
    labels = patches(40, 30)
    ground = sloping(40)
    found = measure_classes(rows_of(labels), ground)
    assert [*found] == [1, 2, 3, 4]
    for class_id, extent in found.items():
        is_class = labels == class_id
        assert extent.pixels == is_class.sum()
        assert extent.area == pytest.approx((is_class.sum(axis=1) * ground.row_area).sum())


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_ranks_are_found_in_their_order(seed: int, step: int, n: int) -> None:
    labels = patches(37, 23, seed)
    generator = np.random.default_rng(seed)
    sizes = {one: int((labels == one).sum()) for one in (1, 3)}
    ranks = {one: generator.choice(m, min(m, n), replace=False) for one, m in sizes.items()}
    found = locate_ranks(rows_of(labels, step), ranks)
    for one, some in ranks.items():
        np.testing.assert_array_equal(found[one], np.flatnonzero(labels == one)[some])


@pytest.mark.parametrize("ground", [Ground.uniform("planar", "m", 20, 0.25), sloping(20)])
def test_pixels_are_drawn_once_each_and_as_often_as_their_area_says(ground: Ground) -> None:
    labels = patches(20, 18, 3, classes=3)
    strata, runs = strata_of(labels, ground, 4), 1500
    generator = np.random.default_rng(5)
    hits = np.zeros(labels.size)
    for _ in range(runs):
        drawn = draw_pixels(lambda: rows_of(labels, 20), strata, ground, 18, generator)
        for one in strata:
            places = drawn[one.id]
            assert len(np.unique(places)) == len(places) == 4
            assert (labels.ravel()[places] == one.id).all()
            hits[places] += 1
    weights = np.repeat(ground.row_area, 18)
    for one in strata:
        here = np.flatnonzero(labels == one.id)
        expected = runs * 4 * weights[here] / weights[here].sum()
        chi_square = ((hits[here] - expected) ** 2 / expected).sum()
        freedom = len(here) - 1
        # Four standard deviations of a chi-square distribution.
        assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


def test_where_all_pixels_are_wanted_there_is_no_choice() -> None:
    labels = patches(20, 18, 3)
    for ground in (Ground.uniform("planar", "m", 20), sloping(20)):
        strata = strata_of(labels, ground, 10_000)
        generator = np.random.default_rng(0)
        drawn = draw_pixels(lambda: rows_of(labels), strata, ground, 18, generator)
        for one, places in drawn.items():
            assert sorted(places.tolist()) == np.flatnonzero(labels == one).tolist()

"""Boundary F1 by hand, and in strips against the whole, worked out pixel by pixel."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glnet_geo.boundary_scores import BoundaryCounts, BoundaryMatcher
from glnet_geo.errors import GlnetGeoError

Labels = npt.NDArray[np.uint8]
SIDE = 9
labels = arrays(np.uint8, (SIDE, SIDE), elements=st.sampled_from([0, 0, 0, 1, 2, 254, 255]))


def counted(
    reference: Labels, predicted: Labels, tolerance: float, heights: list[int] | None = None
) -> BoundaryCounts:
    counts = BoundaryCounts()
    matcher = BoundaryMatcher(tolerance, counts)
    borders = np.cumsum(heights or [len(reference)])[:-1]
    for rows in zip(np.split(reference, borders), np.split(predicted, borders), strict=True):
        matcher.push(*rows)
    matcher.finish()
    return counts


def boundary(one: Labels, reference: Labels, position: int) -> set[tuple[int, int]]:
    """Pixels of a class beside other pixels that count."""
    height, width = one.shape
    found = set()
    for y, x in itertools.product(range(height), range(width)):
        if one[y, x] != position or reference[y, x] >= 254:
            continue
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            is_inside = 0 <= v < height and 0 <= u < width
            if is_inside and reference[v, u] < 254 and one[v, u] != position:
                found.add((y, x))
    return found


def met(these: set[tuple[int, int]], others: set[tuple[int, int]], tolerance: float) -> int:
    return sum(
        any((y - v) ** 2 + (x - u) ** 2 <= tolerance**2 for v, u in others) for y, x in these
    )


@settings(max_examples=60, deadline=None)
@given(
    reference=labels,
    predicted=labels,
    tolerance=st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.9, 20.0]),
    cuts=st.sets(st.integers(1, SIDE - 1)),
)
def test_strips_give_what_the_whole_gives(
    reference: Labels, predicted: Labels, tolerance: float, cuts: set[int]
) -> None:
    borders = [0, *sorted(cuts), SIDE]
    heights = [below - above for above, below in itertools.pairwise(borders)]
    counts = counted(reference, predicted, tolerance, heights)
    for position in (0, 1, 2):
        actual = boundary(reference, reference, position)
        claimed = boundary(predicted, reference, position)
        assert counts.reference[position] == len(actual)
        assert counts.predicted[position] == len(claimed)
        assert counts.reference_met[position] == met(actual, claimed, tolerance)
        assert counts.predicted_met[position] == met(claimed, actual, tolerance)


def halves(split: int) -> Labels:
    """8 x 10: class 0 left of a column, class 1 from it on."""
    one = np.zeros((8, 10), np.uint8)
    one[:, split:] = 1
    return one


@pytest.mark.parametrize(("tolerance", "expected"), [(1.0, 0.0), (2.0, 1.0), (3.0, 1.0)])
def test_a_border_two_pixels_off_is_met_within_two(tolerance: float, expected: float) -> None:
    counts = counted(halves(4), halves(6), tolerance)
    assert [counts.f1(0), counts.f1(1), counts.f1(2)] == [expected, expected, None]
    assert counts.reference[:2].tolist() == [8, 8]


def test_a_class_without_a_boundary_has_no_score_and_one_that_is_missing_none_right() -> None:
    assert counted(np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint8), 1).f1(0) is None
    assert counted(halves(4), np.zeros((8, 10), np.uint8), 1).f1(1) == 0.0


def test_there_is_no_boundary_along_what_does_not_count() -> None:
    reference = halves(4)
    reference[:, 3:5] = 255
    assert counted(reference, halves(4), 1).f1(0) is None
    predicted = halves(4)
    predicted[:, 6:] = 255
    # What the prediction leaves out is a boundary of what lies beside it.
    assert counted(halves(4), predicted, 0.5).predicted[:2].tolist() == [8, 16]


def test_a_tolerance_that_reads_half_the_scene_is_refused() -> None:
    with pytest.raises(GlnetGeoError, match="--boundary-tolerance"):
        BoundaryMatcher(101, BoundaryCounts())

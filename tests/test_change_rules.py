"""What is no change: the rules against their words read literally, and what planners expect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.boundary_scores import Positions
from glnet_geo.change_rules import (
    AS_MAPPED,
    SHIFTED,
    SMALL,
    UNSURE,
    ChangeRows,
    PatchFilter,
    ShiftFilter,
)
from glnet_geo.class_matching import NO_DATA

Fates = npt.NDArray[np.uint8]
DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
heights = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def strips_of(rows: ChangeRows, sizes: Sequence[int]) -> list[ChangeRows]:
    """Strips of these heights, again and again."""
    strips, top, turn = [], 0, 0
    while top < rows.height:
        strips.append(rows.rows(top, min(top + sizes[turn % len(sizes)], rows.height)))
        top += strips[-1].height
        turn += 1
    return strips


def filtered(
    rule: ShiftFilter | PatchFilter, rows: ChangeRows, sizes: Sequence[int] = (1000,)
) -> Fates:
    """Fates of all rows, which come out once and with the maps as they were."""
    out = [one for strip in strips_of(rows, sizes) for one in rule.push(strip)] + rule.finish()
    top = 0
    for one in out:
        assert one.top == top
        here = slice(top, top + one.height)
        np.testing.assert_array_equal(one.old, rows.old[here])
        np.testing.assert_array_equal(one.new, rows.new[here])
        top += one.height
    assert top == rows.height
    return np.concatenate([one.fate for one in out])


def rows_of(old: npt.NDArray[np.integer], new: npt.NDArray[np.integer]) -> ChangeRows:
    return ChangeRows(0, old.astype(np.uint8), new.astype(np.uint8), np.zeros(old.shape, np.uint8))


def kept(old: Positions, new: Positions, reach: int = 1) -> npt.NDArray[np.bool_]:
    rows = rows_of(old, new)
    return rows.differs & (filtered(ShiftFilter(reach), rows) == AS_MAPPED)


def squares(values: Positions, reach: int) -> npt.NDArray[np.uint8]:
    """The square around each pixel, H x W x S x S, without data beyond the array."""
    padded = np.pad(values, reach, constant_values=NO_DATA)
    side = 2 * reach + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side))


def by_the_words(rows: ChangeRows, reach: int) -> Fates:
    """The rule of shifts, pixel by pixel."""

    def occurs(values: Positions, classes: Positions) -> npt.NDArray[np.bool_]:
        around = squares(values, reach)
        return ((around == classes[..., None, None]) | (around == NO_DATA)).any(axis=(2, 3))

    changed = rows.differs & (rows.fate == AS_MAPPED)
    explained = occurs(rows.new, rows.old) & occurs(rows.old, rows.new)
    cores = changed & ~explained
    pairs = rows.old.astype(np.int64) * 256 + rows.new
    marked = np.where(cores, pairs, -1)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(marked, reach, constant_values=-1), (2 * reach + 1,) * 2
    )
    is_near = (around == pairs[..., None, None]).any(axis=(2, 3))
    fate = rows.fate.copy()
    fate[changed & ~is_near] = SHIFTED
    return fate


@st.composite
def two_maps(draw: st.DrawFn) -> ChangeRows:
    height, width = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1, 2, 4]))
    classes = [0, 1, 2, NO_DATA] if draw(st.booleans()) else [0, 3]
    coarse = noise.choice(np.array(classes, np.uint8), (height, width))
    old = np.kron(coarse, np.ones((size, size), np.uint8))[:height, :width]
    new = np.where(noise.random(old.shape) < 0.3, noise.choice(classes, old.shape), old)
    rows = rows_of(old, new)
    unsure = noise.random(old.shape) < draw(st.sampled_from([0, 0.2]))
    rows.fate[rows.differs & unsure] = UNSURE
    return rows


@settings(max_examples=200, deadline=None)
@given(two_maps(), st.integers(1, 3), heights)
def test_shifts_are_what_the_words_say_for_any_strips(
    rows: ChangeRows, reach: int, sizes: list[int]
) -> None:
    expected = by_the_words(rows, reach)
    np.testing.assert_array_equal(filtered(ShiftFilter(reach), rows, sizes), expected)


@st.composite
def scenes(draw: st.DrawFn) -> Positions:
    """Blobs of several classes that meet everywhere, with lines of one pixel and salt."""
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 6))
    coarse = noise.integers(0, draw(st.integers(2, 6)), (9, 9), np.uint8)
    scene = np.kron(coarse, np.ones((size, size), np.uint8))[:40, :40].copy()
    for _ in range(draw(st.integers(0, 4))):
        scene[noise.integers(len(scene))] = 7
        scene[:, noise.integers(len(scene))] = 8
        np.fill_diagonal(scene[noise.integers(len(scene)) :], 9)
    scene[noise.random(scene.shape) < draw(st.sampled_from([0, 0.1]))] = 10
    scene[noise.random(scene.shape) < draw(st.sampled_from([0, 0.05]))] = NO_DATA
    return scene


@settings(max_examples=100, deadline=None)
@given(scenes(), st.integers(1, 3), st.data())
def test_a_shift_within_the_tolerance_is_no_change(
    scene: Positions, reach: int, data: st.DataObject
) -> None:
    if min(scene.shape) <= 2 * reach:
        return
    steps = data.draw(st.tuples(*[st.integers(-reach, reach)] * 2))
    inner = slice(reach, -reach)
    # What the other map shows at its edge, this one has never seen.
    moved = np.roll(scene, steps, (0, 1))
    assert not kept(scene[inner, inner], moved[inner, inner], reach).any()
    assert not kept(moved[inner, inner], scene[inner, inner], reach).any()


@pytest.mark.parametrize("steps", DIRECTIONS)
def test_a_shift_beyond_the_tolerance_shows(steps: tuple[int, int]) -> None:
    scene = np.zeros((60, 60), np.uint8)
    scene[20:40, 20:40] = 1
    moved = np.roll(scene, (3 * steps[0], 3 * steps[1]), (0, 1))
    assert kept(scene, moved, 1).any() and not kept(scene, moved, 3).any()


class TestNewThings:
    """20 x 20 pixels of a new class-1 building on land of class 0."""

    def check(
        self,
        old: Positions,
        rows: slice,
        columns: slice,
        reaches: Sequence[int] = (1, 2, 5),
        kind: int = 1,
    ) -> None:
        new = old.copy()
        new[rows, columns] = kind
        for reach in reaches:
            np.testing.assert_array_equal(kept(old, new, reach), old != new)
            # What is gone is found as well.
            np.testing.assert_array_equal(kept(new, old, reach), old != new)

    def test_in_open_land(self) -> None:
        self.check(np.zeros((60, 60), np.uint8), slice(20, 40), slice(20, 40))

    def test_beside_an_old_one(self) -> None:
        for gap in range(4):
            old = np.zeros((60, 70), np.uint8)
            old[20:40, 5:25] = 1
            self.check(old, slice(20, 40), slice(25 + gap, 45 + gap))
            self.check(old, slice(30, 50), slice(25 + gap, 45 + gap))

    def test_between_two_old_ones_across_a_road(self) -> None:
        old = np.zeros((60, 70), np.uint8)
        old[20:40, 5:25] = old[20:40, 45:65] = 1
        old[30] = 2
        self.check(old, slice(20, 40), slice(25, 45), reaches=(1, 2))

    @pytest.mark.parametrize("corner", [(0, 0), (0, 40), (40, 40), (20, 40)])
    def test_at_the_edge_of_the_map(self, corner: tuple[int, int]) -> None:
        top, left = corner
        old = np.zeros((60, 60), np.uint8)
        self.check(old, slice(top, top + 20), slice(left, left + 20))

    def test_at_the_edge_of_the_data(self) -> None:
        old = np.zeros((60, 60), np.uint8)
        old[:, 40:] = NO_DATA
        self.check(old, slice(20, 40), slice(20, 40))

    def test_a_road_of_one_pixel(self) -> None:
        self.check(np.zeros((60, 60), np.uint8), slice(30, 31), slice(10, 50), (1,), kind=5)

    def test_a_wider_rim_than_the_tolerance_is_a_change_and_a_narrower_is_not(self) -> None:
        old = np.zeros((60, 60), np.uint8)
        old[20:40, 20:40] = 1
        for growth in (1, 2, 3, 4):
            new = old.copy()
            new[20 - growth : 40 + growth, 20 - growth : 40 + growth] = 1
            for reach in (1, 2, 3):
                expected = (old != new) & (growth > reach)
                np.testing.assert_array_equal(kept(old, new, reach), expected)

    def test_a_change_does_not_keep_the_slivers_that_it_touches(self) -> None:
        old = np.zeros((80, 80), np.uint8)
        old[:, 40:] = 1
        new = np.roll(old, 1, 1)
        new[:, 0] = 0
        new[30:50, 10:41] = 2
        found = kept(old, new)
        np.testing.assert_array_equal(found[30:50], (old != new)[30:50])
        assert not found[:28].any() and not found[52:].any()


def patches_by_the_words(rows: ChangeRows, least: float, reach: int, weights: list[float]) -> Fates:
    """The rule of patches, with sets of places."""
    changed = rows.differs & (rows.fate == AS_MAPPED)
    left = {tuple(map(int, place)) for place in np.argwhere(changed)}
    steps = DIRECTIONS if reach == 8 else [step for step in DIRECTIONS if 0 in step]
    fate = rows.fate.copy()
    while left:
        patch = border = [left.pop()]
        while border:
            near = {(y + dy, x + dx) for y, x in border for dy, dx in steps} & left
            left -= near
            border = list(near)
            patch = patch + border
        if sum(weights[y] for y, _ in patch) < least - 1e-9:
            for place in patch:
                fate[place] = SMALL
    return fate


@settings(max_examples=200, deadline=None)
@given(two_maps(), st.integers(1, 9), st.sampled_from([4, 8]), heights, st.booleans())
def test_patches_are_what_the_words_say_for_any_strips(
    rows: ChangeRows, least: int, connectivity: int, sizes: list[int], is_even: bool
) -> None:
    limits = np.full(rows.height, float(least))
    if not is_even:  # as in degrees
        limits *= 1 + np.arange(rows.height) / 7
    rule = PatchFilter(limits, rows.old.shape[1], connectivity)
    expected = patches_by_the_words(rows, 1, connectivity, (1 / limits).tolist())
    np.testing.assert_array_equal(filtered(rule, rows, sizes), expected)


def test_a_patch_counts_whatever_its_transitions_are() -> None:
    old = np.zeros((4, 8), np.uint8)
    new = old.copy()
    new[1, 1:4], new[2, 3:6] = 1, 2
    new[0, 7] = 3
    fate = filtered(PatchFilter(np.full(4, 6.0), 8, 4), rows_of(old, new))
    assert (fate == SMALL).sum() == 1 and fate[0, 7] == SMALL


def test_rows_do_not_wait_for_a_large_patch_to_end() -> None:
    old, new = np.zeros((400, 9), np.uint8), np.zeros((400, 9), np.uint8)
    new[:, 4] = 1
    rule, waiting = PatchFilter(np.full(400, 20.0), 9, 4), 0
    for strip in strips_of(rows_of(old, new), [10]):
        waiting += strip.height - sum(one.height for one in rule.push(strip))
        assert waiting <= 60
    assert sum(one.height for one in rule.finish()) == waiting

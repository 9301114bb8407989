"""Frames and patches: properties that hold for every size, and a few figures by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.grid import Window
from glnet_geo.tiling import (
    MIN_PATCH_OVERLAP,
    Frame,
    FrameAxis,
    PatchLayout,
    ViewAxis,
    patch_starts,
    plan_frames,
)

light = settings(max_examples=60, deadline=None)
PATCH_SIZES = st.integers(MIN_PATCH_OVERLAP + 1, 600)


@st.composite
def frame_plans(draw: st.DrawFn, scales: tuple[float, float] | None = None) -> dict[str, Any]:
    """Arguments of plan_frames, small enough to count every pixel."""
    extent = draw(st.integers(64, 200))
    return {
        "height": draw(st.integers(1, 4 * extent)),
        "width": draw(st.integers(1, 4 * extent)),
        "extent": extent,
        "overlap": draw(st.integers(0, extent // 2 - 1)),
        "patch_size": draw(st.integers(51, 100)),
        **({"scales": scales} if scales else {}),
    }


any_plan = st.one_of(frame_plans(), frame_plans(scales=(1.0, 1.0)))


def axes(plan: dict[str, Any]) -> list[tuple[list[tuple[int, int]], int]]:
    """(first, end) of the reads, each once and in order, and the scene's length: rows, columns."""
    frames = list(plan_frames(**plan))
    rows = sorted({(frame.read.top, frame.read.bottom) for frame in frames})
    columns = sorted({(frame.read.left, frame.read.right) for frame in frames})
    return [(rows, plan["height"]), (columns, plan["width"])]


def total_redundancy(height: int, width: int, frames: list[Frame], patch_size: int) -> float:
    layouts = [PatchLayout.cover(f.read.height, f.read.width, patch_size) for f in frames]
    return sum(len(layout) for layout in layouts) * patch_size**2 / (height * width)


class TestPatchStarts:
    @light
    @given(patch=PATCH_SIZES, more=st.integers(0, 5000))
    def test_patches_reach_from_border_to_border_and_overlap(self, patch: int, more: int) -> None:
        starts = patch_starts(patch + more, patch)
        assert starts[0] == 0
        assert starts[-1] + patch == patch + more
        steps = [right - left for left, right in pairwise(starts)]
        assert all(step > 0 for step in steps)
        # Rounding the starts may cost a pixel.
        assert all(patch - step >= MIN_PATCH_OVERLAP - 1 for step in steps)

    @light
    @given(patch=PATCH_SIZES, more=st.integers(1, 5000))
    def test_no_smaller_count_would_do(self, patch: int, more: int) -> None:
        fewer = len(patch_starts(patch + more, patch)) - 1
        covers = fewer > 1 or more == 0
        assert not covers or patch - more / (fewer - 1) < MIN_PATCH_OVERLAP

    def test_figures_of_the_paper(self) -> None:
        assert patch_starts(2448, 508) == (0, 388, 776, 1164, 1552, 1940)

    @pytest.mark.parametrize(("length", "middle"), [(71, 6), (73, 6), (75, 8)])
    def test_halves_go_to_the_even_neighbour(self, length: int, middle: int) -> None:
        assert patch_starts(length, 60) == (0, middle, length - 60)

    def test_a_length_of_one_patch_is_one_patch(self) -> None:
        assert patch_starts(51, 51) == (0,)

    def test_fewer_pixels_than_a_patch_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"507.*508"):
            patch_starts(507, 508)
        with pytest.raises(ValueError, match=r"507.*508"):
            PatchLayout.cover(600, 507, 508)

    def test_a_patch_of_no_more_than_the_overlap_is_refused(self) -> None:
        with pytest.raises(ValueError, match="exceed 50"):
            patch_starts(1000, 50)


class TestPatchLayout:
    def test_windows_come_row_by_row(self) -> None:
        layout = PatchLayout.cover(61, 70, 60)
        corners = [(window.top, window.left) for window in layout.windows]
        assert corners == [(0, 0), (0, 10), (1, 0), (1, 10)]
        assert {(window.height, window.width) for window in layout.windows} == {(60, 60)}
        assert len(layout) == 4

    @light
    @given(
        patch=st.integers(80, 160),
        more=st.tuples(st.integers(0, 300), st.integers(0, 300)),
        size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    )
    def test_crops_lie_inside_the_map(
        self, patch: int, more: tuple[int, int], size: tuple[int, int]
    ) -> None:
        layout = PatchLayout.cover(patch + more[0], patch + more[1], patch)
        whole = Window(0, 0, *size)
        assert all(whole.contains(layout.crop(window, *size)) for window in layout.windows)

    def test_crops_lie_inside_the_map_where_the_frame_is_twice_the_patch(self) -> None:
        layout = PatchLayout.cover(1016, 1016, 508)
        for side in range(1, 301):
            whole = Window(0, 0, side, side)
            crops = [layout.crop(window, side, side) for window in layout.windows]
            assert all(whole.contains(crop) for crop in crops), side

    def test_a_crop_that_rounds_past_the_border_ends_there(self) -> None:
        layout = PatchLayout.cover(1016, 1016, 508)
        # 3.5 rounds to 4 twice: rows 4 to 8 of 7.
        assert layout.crop(layout.windows[-1], 7, 7) == Window(4, 4, 3, 3)
        assert layout.crop(layout.windows[0], 7, 7) == Window(0, 0, 4, 4)

    @light
    @given(patch=st.integers(80, 160), more=st.tuples(st.integers(0, 300), st.integers(0, 300)))
    def test_a_crop_of_a_map_of_full_size_is_the_patch(
        self, patch: int, more: tuple[int, int]
    ) -> None:
        layout = PatchLayout.cover(patch + more[0], patch + more[1], patch)
        crops = [layout.crop(window, layout.height, layout.width) for window in layout.windows]
        assert crops == list(layout.windows)

    def test_rows_and_columns_are_not_mixed_up(self) -> None:
        layout = PatchLayout.cover(100, 400, 100)
        patch = Window(0, 300, 100, 100)
        assert patch in layout.windows
        assert layout.crop(patch, 20, 40) == Window(0, 30, 20, 10)


class TestPlanFrames:
    @light
    @given(plan=any_plan)
    def test_cores_partition_the_scene(self, plan: dict[str, Any]) -> None:
        covered = np.zeros((plan["height"], plan["width"]), np.uint8)
        for frame in plan_frames(**plan):
            covered[frame.core.slices] += 1
        assert (covered == 1).all()

    @light
    @given(plan=any_plan)
    def test_reads_lie_in_the_scene_and_hold_their_cores(self, plan: dict[str, Any]) -> None:
        scene = Window(0, 0, plan["height"], plan["width"])
        for frame in plan_frames(**plan):
            assert scene.contains(frame.read)
            assert frame.read.contains(frame.core)

    @light
    @given(plan=any_plan)
    def test_neighbours_share_at_least_the_overlap(self, plan: dict[str, Any]) -> None:
        for reads, _ in axes(plan):
            assert all(left[1] - right[0] >= plan["overlap"] for left, right in pairwise(reads))

    @light
    @given(plan=frame_plans())
    def test_a_core_is_what_no_later_frame_reads(self, plan: dict[str, Any]) -> None:
        frames = list(plan_frames(**plan))
        last_reader = np.full((plan["height"], plan["width"]), -1)
        for index, frame in enumerate(frames):
            last_reader[frame.read.slices] = index
        for index, frame in enumerate(frames):
            assert (last_reader[frame.core.slices] == index).all()

    @light
    @given(plan=frame_plans())
    def test_frames_stay_near_the_extent(self, plan: dict[str, Any]) -> None:
        for reads, length in axes(plan):
            sizes = {end - first for first, end in reads}
            assert len(sizes) == 1
            size = sizes.pop()
            assert size <= 1.25 * plan["extent"]
            assert size >= min(0.8 * plan["extent"], length)
            assert length > 0.8 * plan["extent"] or reads == [(0, length)]

    @light
    @given(plan=frame_plans(scales=(1.0, 1.0)))
    def test_a_fixed_scale_gives_frames_of_exactly_the_extent(self, plan: dict[str, Any]) -> None:
        for reads, length in axes(plan):
            if length <= plan["extent"]:
                assert reads == [(0, length)]
            else:
                assert {end - first for first, end in reads} == {plan["extent"]}

    @light
    @given(plan=frame_plans())
    def test_the_transposed_scene_has_the_transposed_frames(self, plan: dict[str, Any]) -> None:
        turned = {**plan, "height": plan["width"], "width": plan["height"]}
        assert axes(turned) == axes(plan)[::-1]

    def test_frames_come_row_by_row(self) -> None:
        plan = plan_frames(300, 300, 100, 20, 60, (1.0, 1.0))
        corners = [(frame.core.top, frame.core.left) for frame in plan]
        assert len(plan) == len(corners) == 16
        assert corners == sorted(corners)

    def test_a_training_image_is_one_frame(self) -> None:
        frames = list(plan_frames(2448, 2448, 2448, 128, 544))
        whole = Window(0, 0, 2448, 2448)
        assert frames == [Frame(whole, whole)]
        assert len(PatchLayout.cover(2448, 2448, 544)) == 25
        assert total_redundancy(2448, 2448, frames, 544) <= 1.25

    def test_a_scene_of_several_frames_is_not_computed_twice(self) -> None:
        frames = list(plan_frames(5000, 6000, 2448, 128, 544))
        assert len(frames) > 1
        assert total_redundancy(5000, 6000, frames, 544) <= 1.8

    def test_a_frame_more_is_taken_where_it_saves_patches(self) -> None:
        # Three frames of 2521 rows would need six rows of patches each, four of 1959 need four.
        frames = list(plan_frames(7305, 2448, 2448, 128, 544))
        assert [frame.read.height for frame in frames] == [1959] * 4
        layouts = [PatchLayout.cover(f.read.height, f.read.width, 544) for f in frames]
        assert [len(layout.tops) for layout in layouts] == [4] * 4
        assert len(patch_starts(2521, 544)) == 6

    def test_a_core_outside_its_read_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"core .*top=5.* outside read .*top=0"):
            Frame(Window(0, 0, 10, 10), Window(5, 0, 6, 10))

    @pytest.mark.parametrize(
        ("length", "size", "starts"),
        [(10, 4, (0, 5)), (10, 4, (0, 4)), (10, 5, (1, 5)), (10, 5, (0, 6))],
    )
    def test_frames_that_leave_a_gap_or_the_scene_are_refused(
        self, length: int, size: int, starts: tuple[int, ...]
    ) -> None:
        with pytest.raises(ValueError, match="do not cover 10"):
            FrameAxis(length, size, starts)


class TestViewAxis:
    def test_by_hand(self) -> None:
        shrunk = ViewAxis(scene=10, view=4)
        assert list(shrunk.under(0, 10)) == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
        assert [shrunk.first(k) for k in range(5)] == [0, 2, 5, 7, 10]
        enlarged = ViewAxis(scene=4, view=10)
        assert list(enlarged.under(0, 4)) == [1, 3, 6, 8]
        assert [enlarged.first(k) for k in (0, 1, 2, 3, 4, 6, 7, 10)] == [0, 0, 1, 1, 2, 2, 3, 4]

    @light
    @given(scene=st.integers(1, 300), view=st.integers(1, 300), cut=st.integers(0, 300))
    def test_pixels_on_either_side_of_a_border_are_told_apart(
        self, scene: int, view: int, cut: int
    ) -> None:
        axis = ViewAxis(scene, view)
        cut = min(cut, view)
        first = axis.first(cut)
        assert 0 <= first <= scene
        assert all(position < cut for position in axis.under(0, first))
        assert all(cut <= position < view for position in axis.under(first, scene))
        assert axis.first(view) == scene and axis.first(0) == 0

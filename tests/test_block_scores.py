"""Blocks of frames: cut into blocks or not, the classes are the same to the last pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.blending import Blender, MemoryStrips, axis_weights, best_class
from glnet_geo.block_layout import Block, BlockAxis, BlockLayout
from glnet_geo.block_scores import BlockMosaic, BlockScores, block_path, is_whole
from glnet_geo.errors import BatchError
from glnet_geo.grid import Window
from glnet_geo.precision import Precision
from glnet_geo.tiling import FrameAxis, plan_frames

light = settings(max_examples=40, deadline=None)
CLASSES = 3


@st.composite
def layouts(draw: st.DrawFn) -> BlockLayout:
    extent = draw(st.integers(60, 90))
    sides = [draw(st.integers(1, 6 * extent)) for _ in range(2)]
    overlap = draw(st.integers(0, extent // 2 - 1))
    plan = plan_frames(*sides, extent, overlap, 55, (1.0, 1.0))
    return BlockLayout.cover(plan, draw(st.integers(1, 4)))


def scores_of(row, column, shape):
    rng = np.random.default_rng((row, column))
    # Few values: sums are often equal but for the order in which they are added.
    return rng.choice(np.float32([0.1, 0.3, 0.7]), size=(CLASSES, *shape))


def blended(plan, weights=None, first=(0, 0)):
    """Every pixel's scores, as a run over the plan finishes them."""
    blender = Blender(plan, MemoryStrips(), weights)
    for row in range(len(plan.rows.starts)):
        for column, frame in enumerate(plan.row(row)):
            scores = scores_of(
                first[0] + row, first[1] + column, (plan.rows.size, plan.columns.size)
            )
            for top, finished in blender.add(row, column, [scores]):
                yield Window(top, frame.core.left, *finished.shape[1:]), finished


def undivided(layout):
    rows, columns = layout.rows.frames, layout.columns.frames
    classes = np.full((rows.length, columns.length), 255, np.uint8)
    for window, scores in blended(type(layout.plan(Block(0, 0)))(rows, columns)):
        classes[window.slices] = best_class(scores)
    return classes


def compute(layout, block, folder, basis="all"):
    axes = (layout.rows, block.row), (layout.columns, block.column)
    members = [axis.members(k) for axis, k in axes]
    weights = tuple(
        axis_weights(axis.frames)[found.start : found.stop]
        for (axis, _), found in zip(axes, members, strict=True)
    )
    kept = BlockScores(layout, block, CLASSES)
    for window, scores in blended(
        layout.plan(block), weights, (members[0].start, members[1].start)
    ):
        kept.add(window.within(layout.extent(block)), scores)
    kept.save(block_path(folder, block), basis, Precision.FP32)


@light
@given(layout=layouts())
def test_blocks_make_the_map_of_an_undivided_run(tmp_path_factory, layout):
    folder = tmp_path_factory.mktemp("blocks")
    for block in layout:
        compute(layout, block, folder)
    rows, columns = layout.rows.frames.length, layout.columns.frames.length
    whole = BlockMosaic(layout, folder).read(Window(0, 0, rows, columns))
    np.testing.assert_array_equal(whole, undivided(layout))


@light
@given(layout=layouts(), data=st.data())
def test_a_window_needs_the_blocks_that_touch_it_only(tmp_path_factory, layout, data):
    folder = tmp_path_factory.mktemp("blocks")
    rows, columns = layout.rows.frames.length, layout.columns.frames.length
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    height = data.draw(st.integers(1, rows - top))
    window = Window(top, left, height, data.draw(st.integers(1, columns - left)))
    for block in layout.touching(window):
        compute(layout, block, folder)
    np.testing.assert_array_equal(
        BlockMosaic(layout, folder).read(window), undivided(layout)[window.slices]
    )


@light
@given(layout=layouts())
def test_cells_partition_an_axis(layout):
    for axis in (layout.rows, layout.columns):
        cells = [*axis.cells(0, axis.frames.length)]
        ends = [0, *(end for _, end, _ in cells)]
        assert [start for start, _, _ in cells] == ends[:-1] and ends[-1] == axis.frames.length
        for start, end, blocks in cells:
            extents = enumerate(axis.extents)
            reading = [k for k, (first, stop) in extents if first < end and stop > start]
            assert [*blocks] == reading


def test_three_frames_on_a_pixel_stay_in_one_block():
    for crowded in (FrameAxis(198, 100, (0, 45, 98)), FrameAxis(200, 100, (0, 50, 100))):
        assert BlockAxis.cover(crowded, 1).firsts == (0,)
    loose = FrameAxis(280, 100, (0, 90, 180))
    assert BlockAxis.cover(loose, 1).firsts == (0, 1, 2)


def test_a_block_made_of_something_else_is_not_whole(tmp_path):
    layout = BlockLayout.cover(plan_frames(80, 80, 60, 10, 55, (1.0, 1.0)), 1)
    block = next(iter(layout))
    path = block_path(tmp_path, block)
    assert not is_whole(path, "all")
    compute(layout, block, tmp_path, "without broken")
    assert not is_whole(path, "all")
    compute(layout, block, tmp_path)
    assert is_whole(path, "all")
    path.write_bytes(path.read_bytes()[:100])
    assert not is_whole(path, "all")


def test_a_missing_block_is_told(tmp_path):
    layout = BlockLayout.cover(plan_frames(50, 50, 60, 10, 55), 1)
    with pytest.raises(BatchError, match=r"block-0-0 cannot be read.*Run the batch again"):
        BlockMosaic(layout, tmp_path).read(Window(0, 0, 5, 5))

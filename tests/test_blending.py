"""Blending: nothing is lost, nothing counts twice, and borders do not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.blending import Blender, MemoryStrips, StripFiles, best_class, blend_weights
from glnet_geo.tiling import FramePlan, plan_frames

light = settings(max_examples=40, deadline=None)


@st.composite
def plans(draw: st.DrawFn) -> FramePlan:
    extent = draw(st.integers(60, 90))
    sides = [draw(st.integers(1, 3 * extent)) for _ in range(2)]
    overlap = draw(st.integers(0, extent // 2 - 1))
    return plan_frames(*sides, extent, overlap, 55, (1.0, 1.0))


def plain_blend(plan, scores_of):
    """The same by the definition: all frames in one array as large as the scene."""
    rows, columns = plan.rows, plan.columns
    total = np.zeros((3, rows.length, columns.length))
    across = blend_weights(columns.starts, columns.size, columns.length)
    for row, down in enumerate(blend_weights(rows.starts, rows.size, rows.length)):
        for column, frame in enumerate(plan.row(row)):
            weights = down[:, None] * across[column]
            total[(slice(None), *frame.read.slices)] += weights * scores_of(row, column)
    return total


def streamed(plan, scores_of, strips, band=17, first_row=0, last_row=None, skipped=()):
    labels = np.full((plan.rows.length, plan.columns.length), 255, np.uint8)
    blender = Blender(plan, strips)
    for row in range(first_row, last_row or len(plan.rows.starts)):
        for column, frame in enumerate(plan.row(row)):
            if (row, column) in skipped:
                blender.skip()
                continue
            scores = scores_of(row, column)
            bands = (scores[:, top : top + band] for top in range(0, scores.shape[1], band))
            for top, finished in blender.add(row, column, bands):
                classes = best_class(finished)
                window = slice(top, top + len(classes)), frame.core.slices[1]
                assert (labels[window] == 255).all(), "a pixel was finished twice"
                labels[window] = classes
        strips.drop_before(row)
    return labels


def random_scores(plan, seed=0):
    def scores_of(row, column):
        rng = np.random.default_rng((seed, row, column))
        shape = (3, plan.rows.size, plan.columns.size)
        return rng.normal(size=shape).astype(np.float32)

    return scores_of


@light
@given(plan=plans())
def test_weights_are_positive_everywhere_and_add_up_to_one(plan):
    for axis in (plan.rows, plan.columns):
        total = np.zeros(axis.length)
        for start, weights in zip(
            axis.starts, blend_weights(axis.starts, axis.size, axis.length), strict=True
        ):
            assert weights.shape == (axis.size,) and (weights > 0).all()
            total[start : start + axis.size] += weights
        np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_a_lone_frame_weighs_the_same_up_to_its_border():
    (weights,) = blend_weights((0,), 7, 7)
    np.testing.assert_array_equal(weights, np.ones(7))


@light
@given(plan=plans(), band=st.integers(1, 100))
def test_streaming_is_the_plain_sum(plan, band):
    scores_of = random_scores(plan)
    labels = streamed(plan, scores_of, MemoryStrips(), band)
    total = plain_blend(plan, scores_of)
    runner_up, best = np.sort(total, axis=0)[-2:]
    is_clear = best - runner_up > 1e-4
    np.testing.assert_array_equal(labels[is_clear], total.argmax(axis=0)[is_clear])
    assert is_clear.mean() > 0.9 or is_clear.size < 100


@light
@given(plan=plans(), cut=st.integers(1, 4))
def test_a_run_cut_in_two_is_the_same(tmp_path_factory, plan, cut):
    folder = tmp_path_factory.mktemp("strips")
    cut = min(cut, len(plan.rows.starts))
    scores_of = random_scores(plan)
    whole = streamed(plan, scores_of, MemoryStrips())
    first = streamed(plan, scores_of, StripFiles(folder), last_row=cut)
    second = streamed(plan, scores_of, StripFiles(folder), first_row=cut)
    np.testing.assert_array_equal(np.minimum(first, second), whole)
    assert len(list(folder.iterdir())) <= len(plan.columns.starts), "old strips stay"


def test_equal_scores_of_neighbours_leave_no_trace_of_their_borders():
    """Where overlapping frames agree, blending changes nothing, ignored classes included."""
    plan = plan_frames(200, 150, 90, 30, 55, (1.0, 1.0))
    scene = np.random.default_rng(0).normal(size=(3, 200, 150)).astype(np.float32)
    scene[1] = -np.inf
    frames = [[frame.read for frame in plan.row(row)] for row in range(len(plan.rows.starts))]
    labels = streamed(
        plan, lambda row, column: scene[(slice(None), *frames[row][column].slices)], MemoryStrips()
    )
    np.testing.assert_array_equal(labels, scene.argmax(axis=0))


def test_what_waits_for_a_skipped_frame_does_not_spill_into_the_next():
    plan = plan_frames(90, 210, 90, 30, 55, (1.0, 1.0))
    assert len(plan) == 3
    scores_of = random_scores(plan)
    labels = streamed(plan, scores_of, MemoryStrips(), skipped={(0, 1)})
    frames = list(plan.row(0))
    np.testing.assert_array_equal(
        labels[frames[2].core.slices], scores_of(0, 2).argmax(axis=0), "the third stands alone"
    )
    assert (labels[frames[1].core.slices] == 255).all()


def test_scores_of_another_height_are_a_mistake():
    plan = plan_frames(60, 60, 90, 30, 55)
    with pytest.raises(ValueError, match="59 rows for a frame of 60"):
        list(Blender(plan, MemoryStrips()).add(0, 0, [np.zeros((3, 59, 60), np.float32)]))


@given(seed=st.integers(0, 1000), classes=st.integers(1, 7))
@light
def test_the_best_class_is_the_first_of_the_highest(seed, classes):
    scores = np.random.default_rng(seed).integers(0, 3, (classes, 5, 6)).astype(np.float32)
    scores[seed % classes, 0] = -np.inf
    np.testing.assert_array_equal(best_class(scores), scores.argmax(axis=0))


def test_strips_survive_on_disk(tmp_path: Path):
    strips = StripFiles(tmp_path)
    scores = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    strips.save(4, 11, scores)
    np.testing.assert_array_equal(StripFiles(tmp_path).load(4, 11), scores)
    assert strips.load(4, 1) is None and strips.load(-1, 0) is None
    strips.drop_before(4)
    assert strips.load(4, 11) is not None
    strips.drop_before(5)
    assert list(tmp_path.iterdir()) == []

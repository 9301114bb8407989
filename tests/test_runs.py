"""Runs: there and back again, and their normal form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.runs import NOTHING, Runs
from tests.lattices import rasters


@settings(max_examples=60, deadline=None)
@given(rasters(), st.integers(0, 2**40))
def test_there_and_back_again(pixels, top):
    runs = Runs.of(pixels, pixels != NOTHING, top)
    assert (runs.top, runs.height, runs.width) == (top, *pixels.shape)
    np.testing.assert_array_equal(runs.to_array(), pixels)


@settings(max_examples=60, deadline=None)
@given(rasters(), st.integers(0, 2**32 - 1))
def test_ids_in_nodata_do_not_matter(pixels, seed):
    is_valid = pixels != NOTHING
    others = np.random.default_rng(seed).choice([0, 1, 7], pixels.shape)
    runs = Runs.of(np.where(is_valid, pixels, others), is_valid, 0)
    expected = Runs.of(pixels, None, 0)
    for name in ("first", "start", "value"):
        mine, theirs = getattr(runs, name), getattr(expected, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=60, deadline=None)
@given(rasters(), st.integers(0, 9))
def test_runs_are_as_long_as_can_be(pixels, top):
    runs = Runs.of(pixels, pixels != NOTHING, top)
    height, width = pixels.shape
    is_new = np.diff(pixels, axis=1, prepend=pixels[:, :1]) != 0
    is_new[:, 0] = True
    rows, columns = np.nonzero(is_new)
    np.testing.assert_array_equal(np.repeat(np.arange(height), np.diff(runs.first)), rows)
    np.testing.assert_array_equal(runs.start, columns)
    np.testing.assert_array_equal(runs.places, (top + rows) * width + columns)
    np.testing.assert_array_equal(runs.value, pixels[rows, columns])


@settings(max_examples=60, deadline=None)
@given(rasters(), st.data())
def test_some_of_the_rows(pixels, data):
    start = data.draw(st.integers(0, len(pixels)))
    stop = data.draw(st.integers(start, len(pixels)))
    part = Runs.of(pixels, None, 100).rows(slice(start, stop))
    expected = Runs.of(pixels[start:stop], None, 100 + start)
    assert (part.top, part.width) == (expected.top, expected.width)
    for name in ("first", "start", "value", "places"):
        np.testing.assert_array_equal(getattr(part, name), getattr(expected, name))
    np.testing.assert_array_equal(part.to_array(), pixels[start:stop])


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.uint8, np.uint16, np.int32, np.uint32])
def test_ids_of_any_type_in_any_layout(kind):
    labels = np.random.default_rng(0).integers(0, 2**31, (9, 14)).astype(kind)
    turned = labels.T[::2, ::-1]
    runs = Runs.of(turned, None, 0)
    assert runs.value.dtype == np.int64 and runs.start.dtype == np.int32
    np.testing.assert_array_equal(runs.to_array(), turned.astype(np.int64))


def test_ids_as_large_as_they_get():
    ends = np.iinfo(np.int64)
    labels = np.array([[ends.max, ends.max - 1, ends.min + 1, ends.min + 2, -1, 0, 1]])
    runs = Runs.of(labels, np.ones(labels.shape, np.bool_), 0)
    assert runs.value.tolist() == labels.tolist()[0]


def test_by_hand():
    labels = np.array([[1, 1, 2, 2], [1, 1, 1, 1], [1, 2, 1, 2]], np.uint8)
    valid = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1]], np.bool_)
    runs = Runs.of(labels, valid, 5)
    assert runs.first.tolist() == [0, 2, 5, 7]
    assert runs.start.tolist() == [0, 2, 0, 1, 2, 0, 3]
    assert runs.value.tolist() == [1, 2, 1, NOTHING, 1, NOTHING, 2]
    assert runs.places.tolist() == [20, 22, 24, 25, 26, 28, 31]

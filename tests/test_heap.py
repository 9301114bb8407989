"""The heap in two arrays, against Python's."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.heap import add_to_heap, drop_least

entries = st.tuples(st.integers(-3, 3), st.integers(0, 9))


@settings(max_examples=80, deadline=None)
@given(st.lists(entries | st.none(), max_size=60))
def test_the_least_comes_first(steps):
    # None takes the least entry out, where there is one.
    expected: list[tuple[int, int]] = []
    keys, items, size = np.empty(60), np.empty(60, np.int32), 0
    for step in steps:
        if step is not None:
            heapq.heappush(expected, step)
            size = add_to_heap(keys, items, size, float(step[0]), step[1])
        elif expected:
            heapq.heappop(expected)
            size = drop_least(keys, items, size)
        assert size == len(expected)
        if expected:
            assert (keys[0], items[0]) == expected[0]


@settings(max_examples=80, deadline=None)
@given(st.lists(entries, max_size=60))
def test_entries_come_out_sorted(added):
    keys, items, size = np.empty(60, np.int64), np.empty(60, np.int64), 0
    for key, item in added:
        size = add_to_heap(keys, items, size, key, item)
    found = []
    while size:
        found.append((keys[0], items[0]))
        size = drop_least(keys, items, size)
    assert found == sorted(added)


def test_what_is_sorted_is_a_heap():
    # The sieve begins with its queue like that.
    keys, items = np.array([1.0, 1.0, 2.5, 4.0, 9.0]), np.array([3, 7, 0, 1, 2], np.int32)
    size = add_to_heap(keys, items, drop_least(keys, items, 5), 2.0, 9)
    found = []
    while size:
        found.append(int(items[0]))
        size = drop_least(keys, items, size)
    assert found == [7, 9, 0, 1, 2]

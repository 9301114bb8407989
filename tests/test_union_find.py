"""Union-find, against sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.union_find import find, unite

members = st.integers(0, 19)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(members, members), max_size=40))
def test_sets_and_their_smallest_members(pairs):
    parent = np.arange(20, dtype=np.int32)
    sets = [{member} for member in range(20)]
    for a, b in pairs:
        joined = sets[a] | sets[b]
        for member in joined:
            sets[member] = joined
        assert unite(parent, a, b) == min(joined)
    assert [find(parent, member) for member in range(20)] == [min(one) for one in sets]


def test_finding_shortens_the_path():
    parent = np.maximum(np.arange(1000, dtype=np.int32) - 1, 0)
    lengths = []
    for _ in range(12):
        member, length = 999, 0
        while parent[member] != member:
            member, length = parent[member], length + 1
        lengths.append(length)
        assert find(parent, 999) == 0
    assert lengths == [999, 500, 250, 125, 63, 32, 16, 8, 4, 2, 1, 1]

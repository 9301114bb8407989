"""Union-find over int32 arrays: which runs or rings belong together, for numba's kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glnet_geo.kernels import kernel

Parents = npt.NDArray[np.int32]
"""For each member its parent, at first itself: `np.arange(n, dtype=np.int32)`."""


@kernel
def find(parent: Parents, member: int) -> int:
    """The root of a member's set, its smallest member; halves the path on the way."""
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = parent[member]
    return member


@kernel
def unite(parent: Parents, a: int, b: int) -> int:
    """Joins the sets of two members; the smaller root wins and is returned."""
    a, b = find(parent, a), find(parent, b)
    if a > b:
        a, b = b, a
    parent[b] = a
    return a

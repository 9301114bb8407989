"""A heap in two arrays, for numba: the least key first, and of equal keys the least item."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from glnet_geo.kernels import kernel

Keys = npt.NDArray[Any]


@kernel
def add_to_heap(keys: Keys, items: Keys, size: int, key: float, item: int) -> int:
    """Adds an entry to a heap of `size` entries; the new size."""
    place = size
    while place > 0 and (key, item) < (keys[(place - 1) // 2], items[(place - 1) // 2]):
        keys[place], items[place] = keys[(place - 1) // 2], items[(place - 1) // 2]
        place = (place - 1) // 2
    keys[place], items[place] = key, item
    return size + 1


@kernel
def drop_least(keys: Keys, items: Keys, size: int) -> int:
    """Takes the first entry out of a heap of `size` entries; the new size."""
    size -= 1
    key, item = keys[size], items[size]
    place, child = 0, 1
    while child < size:
        if child + 1 < size and (keys[child + 1], items[child + 1]) < (keys[child], items[child]):
            child += 1
        if (key, item) <= (keys[child], items[child]):
            break
        keys[place], items[place] = keys[child], items[child]
        place, child = child, 2 * child + 1
    keys[place], items[place] = key, item
    return size

"""Values for pixels without data, so that they do not poison their neighbours in the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_Integers = npt.NDArray[np.int32]

_FAR = np.int32(np.iinfo(np.int32).max)
_PART = 256  # rows or columns that are worked on at a time


def fill_invalid(pixels: npt.NDArray[Any], valid: Mask) -> None:
    """Puts the nearest valid value of its row or column in place of each invalid pixel.

    Where neither the row nor the column has one, that of a pixel so filled is taken.

    Args:
        pixels: C x H x W; changed in place.
        valid: H x W; True somewhere.
    """
    if valid.all():
        return
    height, width = valid.shape
    row_above = np.empty(valid.shape, np.min_scalar_type(-height))
    for part in _parts(width):
        row_above[:, part] = _nearest(valid[:, part].T)[0].T
    column_has_any: Mask = np.asarray(valid.any(axis=0))
    for part in _parts(height):
        known: Mask = valid[part]
        column_beside, steps_beside = _nearest(known)
        row = np.arange(part.start, part.stop, dtype=np.int32)[:, None]
        steps_above = np.where(column_has_any, np.abs(row_above[part] - row), _FAR)
        takes_above = steps_above < steps_beside
        hole = ~known
        rows = np.where(takes_above, row_above[part], row)[hole]
        columns = np.where(takes_above, np.arange(width), column_beside)[hole]
        pixels[:, part][:, hole] = pixels[:, rows, columns]
    row_is_empty = ~valid.any(axis=1)
    if row_is_empty.any() and not column_has_any.all():
        # Filled from their columns, these rows have values just where the columns have one.
        nearest = _nearest(column_has_any[None])[0][0]
        pixels[:, row_is_empty] = pixels[:, row_is_empty][:, :, nearest]


def _parts(length: int) -> Iterator[slice]:
    """Slices of an axis: whole frames of indices would take several times the pixels' memory."""
    for start in range(0, length, _PART):
        yield slice(start, min(start + _PART, length))


def _nearest(valid: Mask) -> tuple[_Integers, _Integers]:
    """For each pixel, column of the nearest valid one of its row, and the steps to it.

    Rows without one get their own column, `_FAR` steps away.
    """
    width = valid.shape[1]
    column = np.arange(width, dtype=np.int32)
    before = np.maximum.accumulate(np.where(valid, column, np.int32(-2 * width)), axis=1)
    behind = np.where(valid, column, np.int32(4 * width))
    behind = np.minimum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
    takes_before = column - before <= behind - column
    steps = np.where(takes_before, column - before, behind - column)
    nearest = np.where(takes_before, before, behind)
    is_empty = ~valid.any(axis=1, keepdims=True)
    return np.where(is_empty, column, nearest), np.where(is_empty, _FAR, steps)

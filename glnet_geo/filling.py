"""Values for pixels without data, so that they do not poison their neighbours in the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_Integers = npt.NDArray[np.int32]


def fill_invalid(pixels: npt.NDArray[Any], valid: Mask) -> npt.NDArray[Any]:
    """Puts the nearest valid value of its row or column in place of each invalid pixel.

    Where neither the row nor the column has one, that of a pixel so filled is taken.

    Args:
        pixels: C x H x W.
        valid: H x W; True somewhere.

    Returns:
        `pixels` itself where all of it is valid, else a filled copy.
    """
    if valid.all():
        return pixels
    rows, columns = np.ogrid[: valid.shape[0], : valid.shape[1]]
    column_beside, steps_beside = _nearest(valid)
    row_above, steps_above = (index.T for index in _nearest(valid.T))
    takes_above = steps_above < steps_beside
    filled = pixels[
        :, np.where(takes_above, row_above, rows), np.where(takes_above, columns, column_beside)
    ]
    is_filled: Mask = np.logical_or.outer(valid.any(axis=1), valid.any(axis=0))
    if not is_filled.all():
        # Every row has a filled pixel now: those of the columns that have a valid one.
        column_beside, _ = _nearest(is_filled)
        filled = filled[:, rows, column_beside]
    return filled


def _nearest(valid: Mask) -> tuple[_Integers, _Integers]:
    """For each pixel, column of the nearest valid one of its row, and the steps to it.

    Rows without one get their own column and more steps than any row has.
    """
    width = valid.shape[1]
    none = 2 * width
    column = np.arange(width, dtype=np.int32)
    before = np.maximum.accumulate(np.where(valid, column, np.int32(-none)), axis=1)
    behind = np.where(valid, column, np.int32(2 * none))
    behind = np.minimum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
    takes_before = column - before <= behind - column
    steps = np.where(takes_before, column - before, behind - column)
    nearest = np.where(takes_before, before, behind)
    is_empty = ~valid.any(axis=1, keepdims=True)
    most = np.int32(np.iinfo(np.int32).max)
    return np.where(is_empty, column, nearest), np.where(is_empty, most, steps)

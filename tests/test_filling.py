"""Filling: by hand, and what must hold for any mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from glnet_geo.filling import fill_invalid


def filled(text: str) -> list[list[int]]:
    values = np.array([[int(c) if c.isdigit() else 0 for c in line] for line in text.split()])
    pixels = values[None].astype(np.uint8)
    fill_invalid(pixels, values > 0)
    return pixels[0].tolist()


def test_the_nearest_of_row_and_column():
    assert filled("1..2 3..4") == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert filled("1... .... ...2") == [[1, 1, 1, 2], [1, 1, 2, 2], [1, 2, 2, 2]]
    assert filled("9 . . . 5") == [[9], [9], [9], [5], [5]]


def test_rows_and_columns_without_any_take_from_filled_ones():
    assert filled("... .7. ...") == [[7] * 3] * 3


@settings(max_examples=60, deadline=None)
@given(valid=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_valid_pixels_stay_and_all_others_come_from_them(valid):
    valid[0, 0] |= not valid.any()
    pixels = np.arange(2 * valid.size, dtype=np.int32).reshape(2, *valid.shape)
    result = pixels.copy()
    result[:, ~valid] = -1
    fill_invalid(result, valid)
    np.testing.assert_array_equal(result[:, valid], pixels[:, valid])
    assert np.isin(result[0], pixels[0, valid]).all()
    np.testing.assert_array_equal(result[1] - result[0], valid.size)

"""The quicklook: right colours at the right places, for any legend."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from glnet_geo.legend import DUBAI, NODATA, LandCover, Legend
from glnet_geo.quicklook import Panel, as_rgb, contact_sheet, difference, quicklook


def _colours(picture: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))


def _place(picture: Image.Image, colour: tuple[int, int, int]) -> npt.NDArray[np.intp]:
    """Rows and columns of the pixels of a colour, 2 x n."""
    return np.stack(np.nonzero((np.asarray(picture) == colour).all(axis=2)))


def test_panels_stand_side_by_side_in_their_colours() -> None:
    image = np.empty((3, 40, 80), np.uint8)
    image[:] = np.array([10, 200, 30], np.uint8)[:, None, None]
    classes = np.full((40, 80), 5, np.uint8)
    classes[:, :40] = 1
    picture = quicklook([Panel("Scene", image), Panel("Map", classes)], DUBAI, panel_px=160)
    assert picture.mode == "RGB"
    assert 320 < picture.width < 400
    green = _place(picture, (10, 200, 30))
    assert np.ptp(green, axis=1).tolist() == [79, 159]
    building, water = (_place(picture, DUBAI.classes[i].rgb) for i in (0, 4))
    panel = slice(green[0].min(), green[0].max() + 1)
    right = np.asarray(picture)[panel, green[1].max() + 1 :]
    assert (right == DUBAI.classes[0].rgb).all(axis=2).sum() == 80 * 80
    assert building[1].max() < water[1].max()


def test_the_legend_shows_every_class() -> None:
    picture = quicklook([Panel("Map", np.full((8, 8), 2, np.uint8))], DUBAI, panel_px=120)
    assert {land_cover.rgb for land_cover in DUBAI.classes} <= _colours(picture)


def test_shrinking_never_invents_a_class() -> None:
    checks = (np.indices((301, 301)).sum(axis=0) % 2 * 4 + 1).astype(np.uint8)
    other = {DUBAI.classes[i].rgb for i in (1, 2, 3)}
    picture = quicklook([Panel("Map", checks)], DUBAI, panel_px=100).crop((16, 40, 116, 130))
    assert not other & _colours(picture)


def test_an_image_is_averaged() -> None:
    checks = np.broadcast_to(np.indices((200, 200)).sum(axis=0) % 2 * 200, (3, 200, 200))
    picture = quicklook([Panel("", checks.astype(np.uint8))], DUBAI, panel_px=100)
    assert _place(picture, (100, 100, 100)).shape[1] >= 100 * 100


def test_nodata_is_light_and_no_class() -> None:
    legend = Legend("one", (LandCover(0, "ground", (120, 60, 0)),))
    classes = np.zeros((50, 50), np.uint8)
    classes[:, 25:] = NODATA
    picture = quicklook([Panel("Map", classes)], legend, panel_px=100)
    ground = _place(picture, (120, 60, 0))
    panel_rows = np.unique(ground[0])[:100]
    empty = np.asarray(picture)[panel_rows[0] : panel_rows[0] + 100, 66:116]
    assert empty.min() >= 200
    assert len(np.unique(empty)) == 2, "hatched"


def test_a_long_legend_wraps() -> None:
    classes = tuple(LandCover(i, f"class number {i}", (i * 6, 255 - i * 6, 100)) for i in range(40))
    picture = quicklook(
        [Panel("A title much longer than the panel " * 4, np.zeros((30, 20), np.uint8))],
        Legend("many", classes),
        panel_px=300,
    )
    assert picture.width < 300
    assert {land_cover.rgb for land_cover in classes} <= _colours(picture)


@pytest.mark.parametrize("shape", [(4, 8, 8), (8,), (0, 5)])
def test_what_is_no_panel_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a panel is uint8"):
        quicklook([Panel("Map", np.zeros(shape, np.uint8))], DUBAI)


def test_no_panel_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        quicklook([], DUBAI)


def test_a_sheet_has_its_rows_below_each_other_and_one_legend() -> None:
    panels = [Panel("Map", np.full((40, 40), k, np.uint8)) for k in (1, 5)]
    one = quicklook(panels[:1], DUBAI, panel_px=100)
    sheet = contact_sheet([panels[:1], panels[1:]], DUBAI, panel_px=100)
    assert sheet.width == one.width and one.height < sheet.height < 2 * one.height
    building, water = (_place(sheet, DUBAI.classes[i].rgb) for i in (0, 4))
    assert building[0].min() < water[0].min() and water.shape[1] >= 100 * 100


def test_the_difference_tells_right_from_wrong_from_unknown() -> None:
    drawn = difference(np.array([[1, 2, NODATA]], np.uint8), np.array([[1, 1, 1]], np.uint8))
    right, wrong, unknown = drawn[:, 0].T.tolist()
    assert len({*right}) == 1 and wrong[0] > 2 * wrong[1] and unknown == [255, 255, 255]


def test_any_bands_are_shown() -> None:
    bands = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    assert as_rgb(bands).ravel().tolist() == [0, 1, 2]
    assert as_rgb(bands[:2]).ravel().tolist() == [0, 0, 0]

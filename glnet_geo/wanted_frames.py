"""Which frames of a scene have data, from a look at places in some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glnet_geo.grid import Window
from glnet_geo.opening import gdal_environment
from glnet_geo.scene_setup import SceneSetup
from glnet_geo.tiling import FramePlan

_MOST_LOOKED_AT = 400  # frames
_PLACES = 3  # along each side of a frame that are looked at
_SIDE = 16  # pixels of such a place
_CACHE_MB = 1


@dataclass(frozen=True, slots=True, eq=False)
class WantedFrames:
    """Where the network has something to do.

    Attributes:
        share: Of the frames, 0-1.
        fullest_row: The row of frames with most of them, nearest the middle.
        emptiest_row: The row of frames with fewest of them; None where each has data.
        read: Windows of the scene that are read, whether there is data or not.
    """

    share: float
    fullest_row: int
    emptiest_row: int | None
    read: tuple[Window, ...]


def find_wanted(setup: SceneSetup, plan: FramePlan) -> WantedFrames:
    """Looks for frames with data.

    The area of interest alone is asked where every pixel is valid, and where a look would cost too
    much: of a scene that is fetched, and of one in strips.
    """
    rows, columns = len(plan.rows.starts), len(plan.columns.starts)
    windows = [setup.footing.under(frame.read) for frame in plan]
    area = setup.area
    is_touched = np.array(
        [window is not None and (area is None or area.touches(window)) for window in windows]
    ).reshape(rows, columns)
    read = tuple(
        window
        for window, touched in zip(windows, is_touched.flat, strict=True)
        if window is not None and touched
    )
    has_data = is_touched
    step = 1
    if not (setup.reader.is_all_valid or setup.source.remote or setup.reader.is_striped):
        step = max(int(np.ceil(np.sqrt(len(plan) / _MOST_LOOKED_AT))), 1)
        has_data = is_touched[::step, ::step].copy()
        # Blocks that are kept would pass for those of the frames that are tried.
        with gdal_environment(_CACHE_MB):
            for row, column in np.argwhere(has_data):
                window = windows[row * step * columns + column * step]
                assert window is not None
                has_data[row, column] = _has_data(setup, window)
    per_row = has_data.mean(axis=1)
    # Rows below the first have strips from above to add; a striped scene is read from the top.
    middle = 0 if setup.reader.is_striped else len(per_row) // 2
    places = range(len(per_row))
    fullest = max(places, key=lambda row: (per_row[row], -abs(row - middle)))
    emptiest = min(places, key=lambda row: per_row[row])
    return WantedFrames(
        float(has_data.mean()),
        fullest * step,
        None if has_data.all() else emptiest * step,
        read,
    )


def _has_data(setup: SceneSetup, window: Window) -> bool:
    return any(setup.reader.read(place).valid.any() for place in _places(window))


def _places(window: Window) -> list[Window]:
    height, width = min(_SIDE, window.height), min(_SIDE, window.width)
    tops, lefts = (
        start + np.linspace(0, length - side, _PLACES).astype(int)
        for start, length, side in (
            (window.top, window.height, height),
            (window.left, window.width, width),
        )
    )
    return [Window(int(top), int(left), height, width) for top in tops for left in lefts]

"""What frames and statistics need of a scene, whatever it is made of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from glnet_geo.chip import Chip, Pixels
from glnet_geo.grid import Grid, Window
from glnet_geo.remote import ScenePath
from glnet_geo.scene_view import SceneView


class Scene(Protocol):
    """An open scene: a file (`raster.SceneReader`), or tiles (`tile_mosaic.TileMosaic`).

    Attributes:
        path: Its path, for messages.
        grid: Its grid.
        n_bands: Bands of its pixels.
        dtype: Their type.
        is_nominal: Whether values are names, of which there is no mean.
        is_striped: Whether narrow windows cost as much as wide ones.
    """

    path: ScenePath
    grid: Grid
    dtype: np.dtype[Any]
    is_nominal: bool
    is_striped: bool

    @property
    def n_bands(self) -> int:
        """Bands of its pixels."""

    def read(self, window: Window) -> Chip:
        """Reads a window of the grid."""

    def view(self, height: int, width: int) -> SceneView:
        """The scene in another number of pixels."""

    def sample(self, side: int) -> Pixels:
        """Valid pixels from all over the scene, C x N; see `SceneReader.sample`."""

    def close(self) -> None:
        """Closes its files."""

"""A model in the hands of Python code: arrays in, classes and probabilities out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.blending import FrameScores, MemoryStrips
from glnet_geo.checkpoint import ModelCard, read_card
from glnet_geo.chip import Chip, Mask, Pixels
from glnet_geo.errors import RasterError
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA, Legend
from glnet_geo.map_options import MapOptions, gauge_of
from glnet_geo.mapping import Labels, LayerSink, map_scene
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.precision import Precision
from glnet_geo.radiometry import Stretch
from glnet_geo.remote import ScenePath
from glnet_geo.scene_view import SceneView, Source
from glnet_geo.segmenter import GLNetSegmenter, load_segmenter
from glnet_geo.uncertainty import ONE, Gauge, Layer

_SOURCE = "the array"


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model that is ready for arrays; `predict` is what maps files.

    Not to be shared between threads.

    Attributes:
        card: What it is and how it wants its input.
        path: Its file.
        segmenter: Its networks, which score one frame.
    """

    card: ModelCard
    path: Path
    segmenter: GLNetSegmenter

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.card.legend

    def classify(self, pixels: npt.NDArray[np.uint8], valid: Mask | None = None) -> Labels:
        """Classes of a picture of any size, by overlapping frames as `predict` maps a scene.

        Args:
            pixels: uint8, C x H x W, bands in the order of `card.bands`, in pixels of the size
                that the model knows (`card.gsd` metres, if it is not None).
            valid: H x W, True where there is data; None where there is data everywhere.

        Returns:
            H x W, ids of the legend's classes; 255 where there is no data.

        Raises:
            RasterError: The array has another type, or another number of bands or dimensions.
        """
        return self._map(pixels, valid, None)

    def probabilities(
        self, pixels: npt.NDArray[np.uint8], valid: Mask | None = None
    ) -> npt.NDArray[np.float32]:
        """Probability of each class, as `predict --probabilities` writes it; see `classify`.

        Returns:
            K x H x W, 0-1 in steps of 1/254, in the order of the legend's classes without those
            that the legend ignores; NaN where there is no data.
        """
        layers = _Layers(gauge_of(self.card, MapOptions(layers=(Layer.PROBABILITIES,))), pixels)
        self._map(pixels, valid, layers)
        values = layers.values
        return np.where(values == NODATA, np.float32(np.nan), values / np.float32(ONE))

    def _map(self, pixels: Pixels, valid: Mask | None, layers: LayerSink | None) -> Labels:
        scene = _ArrayScene(pixels, valid, len(self.card.bands))
        source = FrameSource(lambda: scene, Footing.of_scene(scene.grid), Stretch())
        kept = _Kept(np.full(pixels.shape[1:], NODATA, np.uint8))
        map_scene(source, self.segmenter, kept, MemoryStrips(), layers=layers)
        return kept.values


def load_model(
    model: Path | str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    precision: Precision | str = Precision.AUTO,
) -> Model:
    """Loads a model for arrays.

    Args:
        model: A bundled model's name, or a model file.
        device: "auto", "cpu", "cuda" and so on.
        precision: "auto", "fp32", "bf16" or "fp16"; see `devices.choose_dtype`.

    Raises:
        GlnetGeoError: There is no such model, its file is damaged, or there is no such device here.
    """
    path = find_model(str(model))
    card = read_card(path)
    segmenter = load_segmenter(path, device, Precision(precision), views=card.views)
    return Model(card, path, segmenter)


class _ArrayScene:
    """An array as a scene."""

    path: ScenePath = _SOURCE
    is_nominal = False
    is_striped = False

    def __init__(self, pixels: Pixels, valid: Mask | None, n_bands: int) -> None:
        if pixels.ndim != 3 or pixels.dtype != np.uint8:
            raise RasterError(
                f"{_SOURCE} has shape {pixels.shape} and type {pixels.dtype}; uint8, bands x rows "
                "x columns, is needed."
            )
        if len(pixels) != n_bands or 0 in pixels.shape:
            raise RasterError(
                f"{_SOURCE} has {len(pixels)} bands of {pixels.shape[2]} x {pixels.shape[1]} px; "
                f"the model needs {n_bands} bands of at least one pixel."
            )
        self._pixels = pixels
        self._valid = np.ones(pixels.shape[1:], np.bool_) if valid is None else valid
        self.grid = Grid(*pixels.shape[1:])
        self.dtype: np.dtype[Any] = pixels.dtype
        if self._valid.shape != pixels.shape[1:]:
            raise RasterError(
                f"{_SOURCE} has {pixels.shape[1:]} rows and columns, its mask {self._valid.shape}."
            )

    @property
    def n_bands(self) -> int:
        return len(self._pixels)

    def read(self, window: Window) -> Chip:
        rows, columns = window.slices
        # What is invalid is filled in what is read.
        pixels = self._pixels[:, rows, columns].copy()
        return Chip(pixels, self._valid[rows, columns], self.grid.crop(window))

    def view(self, height: int, width: int) -> SceneView:
        def read(window: Window) -> tuple[Pixels, Mask]:
            chip = self.read(window)
            return chip.pixels, chip.valid

        assert (height, width) == (self.grid.height, self.grid.width)
        source = Source(read, self.grid.window, self.n_bands, self.dtype, self.is_nominal)
        return SceneView(source, self.grid)

    def sample(self, side: int) -> Pixels:
        return self._pixels[:, self._valid]

    def close(self) -> None:
        pass


class _Kept:
    """Keeps what is finished in memory; values end in H x W."""

    def __init__(self, values: Labels) -> None:
        self.values = values

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[_Kept]:
        yield self

    def write(self, labels: Labels, window: Window) -> None:
        self.values[..., *window.slices] = labels


class _Layers(_Kept):
    """Keeps layers in memory, B x H x W."""

    def __init__(self, gauge: Gauge, pixels: Pixels) -> None:
        super().__init__(np.full((gauge.n_bands, *pixels.shape[-2:]), NODATA, np.uint8))
        self._gauge = gauge

    @property
    def n_bands(self) -> int:
        return self._gauge.n_bands

    def measure(self, scores: FrameScores) -> Labels:
        return self._gauge.measure(scores)

"""A scene and a model, opened and fitted to each other: where mapping begins, and planning too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from glnet_geo.buffers import Buffers
from glnet_geo.checkpoint import ModelCard, read_card
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.map_options import MapOptions, area_of
from glnet_geo.modelzoo import find_model
from glnet_geo.opening import gdal_environment
from glnet_geo.radiometry import Stretch, find_stretch
from glnet_geo.raster import SceneReader
from glnet_geo.remote import ScenePath, is_fetched
from glnet_geo.segmenter import GLNetSegmenter, load_segmenter
from glnet_geo.uncertainty import Layer

if TYPE_CHECKING:
    from glnet_geo.features import AreaOfInterest


@dataclass(frozen=True, slots=True, eq=False)
class SceneSetup:
    """A scene and a model that are ready for each other.

    Attributes:
        reader: The open scene.
        card: The model's card.
        model_file: Where the model is.
        segmenter: The model.
        options: How the scene is mapped.
        source: Reads frames of the scene.
    """

    reader: SceneReader
    card: ModelCard
    model_file: Path
    segmenter: GLNetSegmenter
    options: MapOptions
    source: FrameSource

    @property
    def footing(self) -> Footing:
        """The view that frames are windows of."""
        return self.source.footing

    @property
    def stretch(self) -> Stretch:
        """Mapping of the scene's pixel values to 0-255."""
        return self.source.stretch

    @property
    def area(self) -> AreaOfInterest | None:
        """The area of interest."""
        return self.source.area


@contextmanager
def set_up(
    scene: ScenePath, options: MapOptions, folder: Path, buffers: Buffers
) -> Iterator[SceneSetup]:
    """Opens a scene and loads a model, inside GDAL's settings for the run.

    Args:
        scene: The scene.
        options: How it is mapped.
        folder: Where a striped scene may be kept in tiles.
        buffers: What may be held in memory.

    Raises:
        GlnetGeoError: Scene, model, area of interest or device stand in the way.
    """
    model_file = find_model(options.model)
    card = read_card(model_file)
    options.check(card)
    buffers.apply()
    open_scene, remote = partial(options.opener(card), scene), is_fetched(scene)
    with gdal_environment(buffers.cache_mb, remote), open_scene() as reader:
        segmenter = load_segmenter(
            model_file,
            options.device,
            options.precision,
            options.reference,
            options.frame,
            options.views_of(card),
            compares_branches=Layer.DISAGREEMENT in options.layers,
        )
        footing = options.footing(reader.grid, scene, card)
        area = area_of(options.aoi, reader.grid, options.safe)
        stretch = find_stretch(reader, options.scale)
        source = FrameSource(
            open_scene, footing, stretch, area, folder, remote, segmenter.stage, buffers
        )
        yield SceneSetup(reader, card, model_file, segmenter, options, source)

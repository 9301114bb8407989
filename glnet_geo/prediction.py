"""A scene through a segmenter, frame by frame, into a class raster."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glnet_geo.checkpoint import ModelCard, load_model, model_hash, read_card
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA, Legend
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.outputs import check_output
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import Chip, SceneReader, gdal_environment
from glnet_geo.raster_output import class_map
from glnet_geo.segmenter import GLNetSegmenter, MapScores, choose_device
from glnet_geo.tiling import Frame


class Segmenter(Protocol):
    """What turns pixels into scores; the network is one, tests use others.

    Attributes:
        legend: The classes, in the order of the scores.
    """

    legend: Legend

    def frames(self, grid: Grid) -> Sequence[Frame]:
        """The frames that a scene is covered with; their cores partition it."""

    def __call__(self, chip: Chip) -> MapScores:
        """Scores K x H x W of a frame's uint8 pixels C x H x W."""


@dataclass(frozen=True, slots=True)
class MapSummary:
    """What a finished prediction says of itself.

    Attributes:
        output: The class raster.
        grid: Its grid.
        legend: Its classes.
        pixels: Pixels by class id; `NODATA` for those without data.
        model: Name and version of the model.
        seconds: Time taken, reading and writing included.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    output: Path
    grid: Grid
    legend: Legend
    pixels: Mapping[int, int]
    model: str
    seconds: float
    peak_bytes: int | None

    @property
    def megapixels_per_second(self) -> float:
        """Pixels of the scene, data or not, in the time taken."""
        return self.grid.height * self.grid.width / 1e6 / max(self.seconds, 1e-9)

    def share(self, class_id: int) -> float | None:
        """Share of a class in the pixels that have data, 0-1; None without any."""
        with_data = sum(count for key, count in self.pixels.items() if key != NODATA)
        return self.pixels.get(class_id, 0) / with_data if with_data else None

    def area_ha(self, class_id: int) -> float | None:
        """Area of a class in hectares; None without a CRS."""
        area = self.grid.pixel_area_m2
        return None if area is None else self.pixels.get(class_id, 0) * area / 1e4

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "output": str(self.output),
            "width": self.grid.width,
            "height": self.grid.height,
            "crs": self.grid.crs_label,
            "gsd_m": self.grid.gsd_m,
            "model": self.model,
            "classes": [
                {
                    "id": c.id,
                    "name": c.name,
                    "pixels": self.pixels.get(c.id, 0),
                    "share": self.share(c.id),
                    "area_ha": self.area_ha(c.id),
                }
                for c in self.legend.classes
            ],
            "nodata_pixels": self.pixels.get(NODATA, 0),
            "seconds": round(self.seconds, 3),
            "megapixels_per_second": round(self.megapixels_per_second, 4),
            "peak_bytes": self.peak_bytes,
        }


def map_scene(
    scene: SceneReader,
    segmenter: Segmenter,
    write: Callable[[npt.NDArray[np.uint8], Window], None],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Predicts a scene frame by frame.

    Args:
        scene: The open scene.
        segmenter: What scores a frame.
        write: Takes H x W class ids (`NODATA` where there is none) and their window; the windows
            partition the scene.
        report: Told the frames done and all frames.
    """
    stretch = find_stretch(scene)
    frames = segmenter.frames(scene.grid)
    ids = segmenter.legend.ids
    for done, frame in enumerate(frames):
        report(done, len(frames))
        chip = scene.read(frame.read)
        core = frame.core.relative_to(frame.read).slices
        labels = np.full(chip.valid.shape, NODATA, np.uint8)[core]
        if chip.valid[core].any():
            pixels = _fill(stretch.apply(chip.pixels), chip.valid)
            scores = segmenter(Chip(pixels, chip.valid, chip.grid))
            labels = ids[scores[(slice(None), *core)].argmax(axis=0)]
            labels[~chip.valid[core]] = NODATA
        write(labels, frame.core)
    report(len(frames), len(frames))


def _fill(pixels: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Puts the bands' medians where there is no data: black would spread into its neighbours."""
    if valid.all():
        return pixels
    median = np.median(pixels[:, valid], axis=1).astype(np.uint8)
    return np.where(valid, pixels, median[:, None, None])


def predict(
    scene: Path,
    output: Path,
    *,
    model: str = DEFAULT_MODEL,
    bands: Sequence[int] | None = None,
    device: str = "auto",
    reference: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> MapSummary:
    """Maps the land cover of a scene.

    Writes a cloud-optimized GeoTIFF of class ids on exactly the scene's grid, 255 where the scene
    has no data, with colours and class names.

    Args:
        scene: Any raster file that GDAL opens.
        output: The class raster.
        model: A bundled model's name, or a model file.
        bands: Bands of the scene, from 1, in the model's order; None for red, green and blue, or
            else the first ones.
        device: "auto", "cpu", "cuda" and so on.
        reference: Whether to follow the reference's arithmetic, see `GLNetSegmenter`.
        overwrite: Whether an existing output may be replaced.
        report: Told the frames done and all frames.

    Raises:
        GlnetGeoError: Something about scene, model, device or output stands in the way; nothing
            is written then.
    """
    started = time.monotonic()
    model_file = find_model(model)
    check_output(output, overwrite, (scene, model_file))
    n_bands = read_card(model_file).architecture.bands
    with gdal_environment(), SceneReader(scene, bands, n_bands) as reader:
        net, card = load_model(model_file)
        segmenter = GLNetSegmenter(net, card, choose_device(device), reference)
        _warn(reader, card)
        tags = {
            "TIFFTAG_SOFTWARE": f"glnet-geo {version('glnet-geo')}",
            "MODEL": f"{card.name} {card.version}",
            "MODEL_SHA256": model_hash(model_file),
            "MODEL_LICENCE": card.licence,
            "BANDS": ",".join(map(str, reader.bands)),
            "REFERENCE_ARITHMETIC": str(reference).lower(),
        }
        with class_map(output, reader.grid, card.legend, tags) as writer:
            map_scene(reader, segmenter, writer.write, report)
        return MapSummary(
            output,
            reader.grid,
            card.legend,
            {int(value): int(writer.counts[value]) for value in np.flatnonzero(writer.counts)},
            f"{card.name} {card.version}",
            time.monotonic() - started,
            _peak_bytes(),
        )


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes (getrusage(2)).
    return peak if sys.platform == "darwin" else peak * 1024


def _warn(scene: SceneReader, card: ModelCard) -> None:
    if not scene.grid.is_georeferenced:
        _log.warning(
            "%s has no CRS or no transform. The map lies on the same pixels, without a place.",
            scene.path,
        )
    gsd = scene.grid.gsd_m
    if gsd and card.gsd and not 1 / _GSD_RATIO < gsd / card.gsd < _GSD_RATIO:
        _log.warning(
            "%s has %.3g m pixels; the model '%s' was trained at %.3g m. Expect poor results.",
            scene.path,
            gsd,
            card.name,
            card.gsd,
        )


_GSD_RATIO = 1.5
_log = logging.getLogger(__name__)

"""A scene to a class raster: the whole of `glnet-geo predict`."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from glnet_geo.blending import StripFiles
from glnet_geo.buffers import Buffers
from glnet_geo.devices import precision_of, warn_of_slowness
from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.frame_source import FrameSource
from glnet_geo.layer_output import layer_rasters
from glnet_geo.map_options import MapOptions, gauge_of, model_tags
from glnet_geo.map_summary import LayerSummary, MapSummary, peak_bytes
from glnet_geo.mapping import map_scene
from glnet_geo.memory_fit import fit_buffers
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.outputs import (
    check_distinct,
    check_identity,
    check_not_input,
    check_output,
    check_suffix,
    work_folder,
    working_folder,
)
from glnet_geo.precision import Precision
from glnet_geo.preflight import preflight
from glnet_geo.raster import SceneReader
from glnet_geo.raster_output import MapContent, MapParts
from glnet_geo.remote import is_fetched, is_remote, scene_path
from glnet_geo.scene_setup import set_up
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.tiling import FrameExtent
from glnet_geo.uncertainty import Gauge, Layer
from glnet_geo.validity import THE_FILES, Validity

_log = logging.getLogger(__name__)


def predict(
    scene: Path | str,
    output: Path | str,
    *,
    model: Path | str = DEFAULT_MODEL,
    bands: Sequence[int | str] | None = None,
    scale: Sequence[tuple[float, float]] = (),
    validity: Validity = THE_FILES,
    aoi: Path | str | None = None,
    gsd: float | None = None,
    frame: int | FrameExtent | str = FrameExtent.CARD,
    device: str = "auto",
    precision: Precision | str = Precision.AUTO,
    reference: bool = False,
    views: int | None = None,
    safe: bool = False,
    probabilities: Path | str | None = None,
    confidence: Path | str | None = None,
    disagreement: Path | str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    max_memory: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> MapSummary:
    """Maps the land cover of a scene.

    Writes a cloud-optimized GeoTIFF of class ids on exactly the scene's grid, 255 where the scene
    has no data. A run that is interrupted keeps the rows that it has finished in a dotted folder
    beside the output, from which `resume` continues.

    Args:
        scene: Any raster file that GDAL opens, or a URL of one.
        output: The class raster.
        model: A bundled model's name, or a model file.
        bands: Bands of the scene in the model's order: numbers from 1, descriptions or colour
            interpretations; None for those that bear the names of the model's bands, or else
            the first ones.
        scale: Values of the scene that become 0 and 255: one pair for each band, or one for all.
            Empty for uint8 as it is and percentiles of all other types.
        validity: Which pixels have data.
        aoi: A vector file; the result is limited to its polygons.
        gsd: Ground sample distance of the scene in metres; None for what its CRS says.
        frame: Side in pixels of what the network sees at once; or "card" for about that of the
            model's card, where it saves work; or "scene" for all of the scene.
        device: "auto", "cpu", "cuda" and so on.
        precision: "auto", "fp32", "bf16" or "fp16"; see `devices.choose_dtype`.
        reference: Whether to follow the arithmetic of the authors' code to the letter.
        views: In how many ways a frame is looked at (1, 2 or 4: it and its mirror images), of which
            the mean is taken; None for what the card says.
        safe: Whether nothing of `scene` and `aoi` is trusted, see docs/security.md.
        probabilities: Where the probability of every class goes, a band for each. This and the
            following are cloud-optimized GeoTIFFs on the scene's grid, in which 0 to 254 stand for
            0 to 1 and 255 for no data.
        confidence: Where the probability goes that the class is right, or if the model is not
            calibrated the margin between the two likeliest classes; see `MapSummary.layers`.
        disagreement: Where 1 minus the overlap of what the local and the global branch say alone
            goes.
        overwrite: Whether existing outputs may be replaced.
        resume: Whether to continue an interrupted run.
        max_memory: Bytes that the process may hold at most, see `memory_fit`; None for no limit.
        report: Told the frames done and all frames.

    Raises:
        GlnetGeoError: Something about scene, model, device or output stands in the way; no
            output is written then.
    """
    frame = FrameExtent(frame) if isinstance(frame, str) else frame
    options = MapOptions(
        str(model),
        tuple(bands or ()),
        tuple(scale),
        validity,
        None if aoi is None else Path(aoi),
        gsd,
        frame,
        device,
        Precision(precision),
        reference,
        views,
        safe,
    )
    named = zip(Layer, (probabilities, confidence, disagreement), strict=True)
    return map_to_file(
        scene,
        Path(output),
        options,
        layers={layer: Path(path) for layer, path in named if path is not None},
        overwrite=overwrite,
        resume=resume,
        max_memory=max_memory,
        report=report,
    )


def map_to_file(
    scene: Path | str,
    output: Path,
    options: MapOptions,
    *,
    layers: Mapping[Layer, Path] = MappingProxyType({}),
    overwrite: bool = False,
    resume: bool = False,
    max_memory: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> MapSummary:
    """As `predict`, with the options as a value, and where layers go."""
    started = time.monotonic()
    scene, model_file, aoi = scene_path(str(scene)), find_model(options.model), options.aoi
    sources = [Path(one) for one in (scene, model_file, aoi) if one and not is_remote(one)]
    paths = (output, *layers.values())
    for path in paths:
        check_output(path, overwrite, tuple(sources), can_resume=True)
        check_suffix(path, (".tif", ".tiff"), "a GeoTIFF")
    check_distinct(paths)
    options = replace(options, layers=tuple(layers))
    buffers = Buffers() if max_memory is None else fit_buffers(scene, options, max_memory)
    with set_up(scene, options, work_folder(output), buffers) as setup:
        reader, card, segmenter = setup.reader, setup.card, setup.segmenter
        for path in paths:
            check_not_input(path, reader.files)
        # A second look at what is fetched would cost its bytes once more.
        for caution in preflight(setup, looks=not is_fetched(scene)):
            _log.warning("%s", caution)
        warn_of_slowness(options.precision, segmenter.device)
        tags = {
            **model_tags(card, model_file),
            **options.tags(reader, card, setup.footing, setup.stretch, setup.area),
            "PRECISION": precision_of(segmenter.dtype),
        }
        gauge = gauge_of(card, options)
        job = _Job(output, layers, gauge, reader, setup.source, segmenter, tags)
        content = job.run(resume, report)
    present = np.flatnonzero(content.pixels).tolist()
    areas = content.areas_m2
    return MapSummary(
        output,
        reader.grid,
        card.legend,
        {value: int(content.pixels[value]) for value in present},
        None if areas is None else {value: float(areas[value]) for value in present},
        content.area_rule,
        f"{card.name} {card.version}",
        time.monotonic() - started,
        peak_bytes(),
        {layer.value: LayerSummary(path, gauge.meaning(layer)) for layer, path in layers.items()},
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """One scene to map."""

    output: Path
    layers: Mapping[Layer, Path]
    gauge: Gauge
    scene: SceneReader
    source: FrameSource
    segmenter: GLNetSegmenter
    tags: Mapping[str, str]

    def run(self, resume: bool, report: Callable[[int, int], None]) -> MapContent:
        """Maps the scene from where an interrupted run left it; what the map holds."""
        output, identity = self.output, self._identity()
        is_resumed = resume and MapParts.has_any(work_folder(output))
        if resume and not is_resumed:
            _log.warning("There is nothing to resume for %s. Starting afresh.", output)
        with working_folder(output, is_resumed, MapParts.has_any) as folder:
            check_identity(folder, output, identity, is_resumed)
            parts = MapParts(folder, output, self.scene.grid)
            try:
                return self._map(folder, parts, is_resumed, report)
            except GlnetGeoError as error:
                if not parts.finished:
                    raise
                raise type(error)(f"{error} {_KEPT}") from error
            except KeyboardInterrupt:
                if parts.finished:
                    _log.warning(_KEPT)
                raise

    def _map(
        self,
        folder: Path,
        parts: MapParts,
        is_resumed: bool,
        report: Callable[[int, int], None],
    ) -> MapContent:
        grid, output, first = self.scene.grid, self.output, parts.finished
        with layer_rasters(self.layers, self.gauge, grid, output, is_resumed) as layers:
            layers.check_finished(first)
            strips, sink = StripFiles(folder), layers if self.layers else None
            map_scene(self.source, self.segmenter, parts, strips, first, report, sink)
            with layers.finishing(self.tags) as place:
                return parts.publish(self.segmenter.legend, self.tags, place)

    def _identity(self) -> dict[str, str]:
        """What must not change between a run and its resumption."""
        layers = {layer.value: str(path.absolute()) for layer, path in self.layers.items()}
        return {**self.tags, **_state_of(self.scene, self.segmenter.device), **layers}


def _state_of(scene: SceneReader, device: str) -> dict[str, str]:
    """What must not change between a run and its resumption, besides the parameters."""
    try:
        states = [(path.name, path.stat()) for path in scene.files]
    except OSError as error:
        raise RasterError(
            f"{scene.path} consists of {error.filename} too, which cannot be read: "
            f"{error.strerror}."
        ) from None
    files = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    grid = scene.grid
    name = hashlib.sha256(str(scene.path).encode()).hexdigest() if is_remote(scene.path) else ""
    return {
        "scene files": f"{files} {name}",
        "scene grid": str((grid.height, grid.width, tuple(grid.transform), grid.crs)),
        "device": device,
    }


_KEPT = "The rows finished so far are kept: --resume continues there."

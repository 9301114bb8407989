"""A scene to a class raster: the whole of `glnet-geo predict`."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glnet_geo.blending import StripFiles
from glnet_geo.checkpoint import ModelCard, load_model, model_hash, read_card
from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.grid import Grid
from glnet_geo.map_summary import MapSummary, peak_bytes
from glnet_geo.mapping import map_scene
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.outputs import (
    check_identity,
    check_not_input,
    check_output,
    work_folder,
    working_folder,
)
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import SceneReader, gdal_environment
from glnet_geo.raster_output import MapContent, MapParts
from glnet_geo.remote import is_fetched, is_remote, scene_path
from glnet_geo.segmenter import GLNetSegmenter, choose_device
from glnet_geo.tiling import FrameExtent, ViewAxis
from glnet_geo.validity import THE_FILES, Validity

if TYPE_CHECKING:
    from glnet_geo.features import AreaOfInterest

_log = logging.getLogger(__name__)


def predict(
    scene: Path | str,
    output: Path,
    *,
    model: str = DEFAULT_MODEL,
    bands: Sequence[int | str] | None = None,
    scale: Sequence[tuple[float, float]] = (),
    validity: Validity = THE_FILES,
    aoi: Path | None = None,
    gsd: float | None = None,
    frame: int | FrameExtent = FrameExtent.CARD,
    device: str = "auto",
    reference: bool = False,
    overwrite: bool = False,
    resume: bool = False,
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
        frame: See `GLNetSegmenter`.
        device: "auto", "cpu", "cuda" and so on.
        reference: Whether to follow the reference's arithmetic, see `GLNetSegmenter`.
        overwrite: Whether an existing output may be replaced.
        resume: Whether to continue an interrupted run.
        report: Told the frames done and all frames.

    Raises:
        GlnetGeoError: Something about scene, model, device or output stands in the way; no
            output is written then.
    """
    started = time.monotonic()
    scene, frame = scene_path(str(scene)), FrameExtent(frame) if isinstance(frame, str) else frame
    model_file = find_model(model)
    sources = [Path(one) for one in (scene, model_file, aoi) if one and not is_remote(one)]
    check_output(output, overwrite, tuple(sources), can_resume=True)
    card = read_card(model_file)
    open_scene = partial(
        SceneReader, scene, bands, len(card.bands), names=card.bands, validity=validity
    )
    remote = is_fetched(scene)
    with gdal_environment(remote=remote), open_scene() as reader:
        net, card = load_model(model_file)
        segmenter = GLNetSegmenter(net, card, choose_device(device), reference, frame)
        footing = _footing(reader, card, gsd, reference)
        check_not_input(output, reader.files)
        area, stretch = _area(aoi, reader.grid), find_stretch(reader, scale)
        _warn(reader, card, gsd or reader.grid.gsd_m, footing)
        source = FrameSource(open_scene, footing, stretch, area, work_folder(output), remote)
        tags = {
            **_model_tags(card, model_file),
            **_scene_tags(reader, source, validity),
            **({"AOI": aoi.name} if aoi else {}),
            "FRAME": str(frame),
            "REFERENCE_ARITHMETIC": str(reference).lower(),
        }
        content = _map(output, reader, source, segmenter, tags, resume, report)
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
    )


def _map(
    output: Path,
    scene: SceneReader,
    source: FrameSource,
    segmenter: GLNetSegmenter,
    tags: Mapping[str, str],
    resume: bool,
    report: Callable[[int, int], None],
) -> MapContent:
    """Maps the scene from where an interrupted run left it; what the map holds."""
    identity = {**tags, **_state_of(scene, segmenter.device)}
    is_resumed = resume and MapParts.has_any(work_folder(output))
    if resume and not is_resumed:
        _log.warning("There is nothing to resume for %s. Starting afresh.", output)
    with working_folder(output, is_resumed, MapParts.has_any) as folder:
        check_identity(folder, output, identity, is_resumed)
        parts = MapParts(folder, output, scene.grid)
        try:
            map_scene(source, segmenter, parts, StripFiles(folder), parts.finished, report)
            return parts.publish(segmenter.legend, tags)
        except GlnetGeoError as error:
            if not parts.finished:
                raise
            raise type(error)(f"{error} {_KEPT}") from error
        except KeyboardInterrupt:
            if parts.finished:
                _log.warning(_KEPT)
            raise


def _model_tags(card: ModelCard, model_file: Path) -> dict[str, str]:
    return {
        "TIFFTAG_SOFTWARE": f"glnet-geo {version('glnet-geo')}",
        "MODEL": f"{card.name} {card.version}",
        "MODEL_SHA256": model_hash(model_file),
        "MODEL_LICENCE": card.licence,
    }


def _scene_tags(scene: SceneReader, source: FrameSource, validity: Validity) -> dict[str, str]:
    """What was read and how; a URL without its query, which may hold a password."""
    footing, area, name = source.footing, source.area, str(scene.path)
    return {
        "SCENE": Path(name.partition("?")[0] if is_remote(name) else name).name,
        "BANDS": ",".join(map(str, scene.bands)),
        **source.stretch.tags(),
        **validity.tags(),
        **({"AOI_SHA256": area.digest} if area else {}),
        "NETWORK_PIXELS": f"{footing.columns.view} x {footing.rows.view}",
    }


def _area(aoi: Path | None, grid: Grid) -> AreaOfInterest | None:
    if aoi is None:
        return None
    # geopandas takes half a second to load; most runs do without.
    from glnet_geo.features import AreaOfInterest

    return AreaOfInterest.read(aoi, grid)


def _footing(scene: SceneReader, card: ModelCard, gsd: float | None, reference: bool) -> Footing:
    """The view of the scene that has the pixels which the model knows."""
    grid = scene.grid
    if gsd is not None and card.gsd is None:
        raise GlnetGeoError(
            f"The model {card.name!r} works in pixels of any size: leave --gsd out."
        )
    sides = (gsd, gsd) if gsd else grid.pixel_sides_m
    if sides is None or card.gsd is None or (reference and not gsd):
        return Footing.of_scene(grid)
    if max(sides) > _MAX_ENLARGEMENT * card.gsd:
        raise RasterError(
            f"{scene.path} has {max(sides):.3g} m pixels; the model {card.name!r} was trained at "
            f"{card.gsd:.3g} m and sees nothing in them. Choose another: glnet-geo models list"
        )
    factors = [side / card.gsd for side in sides]
    if all(1 / _SAME_GSD < factor < _SAME_GSD for factor in factors):
        return Footing.of_scene(grid)
    lengths = (grid.height, grid.width)
    return Footing(
        *(
            ViewAxis(length, max(round(length * factor), 1))
            for length, factor in zip(lengths, factors, strict=True)
        )
    )


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


def _warn(scene: SceneReader, card: ModelCard, gsd: float | None, footing: Footing) -> None:
    if not scene.grid.is_georeferenced:
        _log.warning(
            "%s has no CRS or no transform. The map lies on the same pixels, without a place.",
            scene.path,
        )
    if scene.bands_are_guessed:
        _log.warning(
            "%s does not say which of its bands show %s. Bands %s are taken; choose with --bands.",
            scene.path,
            ", ".join(card.bands),
            ", ".join(map(str, scene.bands)),
        )
    ratio = gsd / card.gsd if gsd and card.gsd else 1.0
    # A finer scene is seen at the model's resolution, and well; a coarser one lacks the detail.
    if ratio > _POOR_GSD or (ratio < 1 / _POOR_GSD and footing.is_scene):
        _log.warning(
            "%s has %.3g m pixels; the model '%s' was trained at %.3g m. Expect poor results.",
            scene.path,
            gsd,
            card.name,
            card.gsd,
        )


_KEPT = "The rows finished so far are kept: --resume continues there."
_SAME_GSD = 1.1  # ratio below which a scene is taken at its own pixels
_POOR_GSD = 1.5
_MAX_ENLARGEMENT = 100

"""What describes and joins the maps of a batch: a table, a catalog, virtual rasters, polygons."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.batch_report import BatchOptions
from glnet_geo.checkpoint import ModelCard, model_hash
from glnet_geo.errors import BatchError, OutputError
from glnet_geo.map_mosaic import PlacedMap, maps_xml, union_grid
from glnet_geo.map_options import model_tags
from glnet_geo.outputs import publish
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.results_table import write_table
from glnet_geo.stac_catalog import write_catalog
from glnet_geo.stac_fields import ModelFacts
from glnet_geo.tile_groups import lattices

TABLE = "scenes.csv"
_JOINED = "landcover"
_MOST_LATTICES = 50  # whose polygons go into one file, a layer each

_log = logging.getLogger(__name__)


def work_path(folder: Path) -> Path:
    """Where a batch keeps what it is not done with."""
    return folder / ".batch"


def remove_work(folder: Path) -> None:
    """Removes that."""
    shutil.rmtree(work_path(folder), ignore_errors=True)


def check_free(folder: Path) -> None:
    """Refuses a folder in which something has the name of what a batch writes for all scenes.

    Raises:
        OutputError: There is such a file, and no batch has written it.
    """
    taken = [*folder.glob(f"{_JOINED}*"), folder / TABLE, folder / "stac"]
    for path in taken:
        if path.exists():
            raise OutputError(
                f"{path} exists, and no batch has written it. Use --overwrite to replace it, or "
                "choose another folder."
            )


def write_results(
    folder: Path,
    records: Sequence[SceneRecord],
    card: ModelCard,
    model_file: Path,
    options: BatchOptions,
) -> tuple[Path, ...]:
    """Writes what describes and joins the finished maps.

    Args:
        folder: The batch's folder.
        records: Its scenes.
        card: Card of the model.
        model_file: The model.
        options: Whether polygons are merged, and how.

    Returns:
        The files.

    Raises:
        GlnetGeoError: The disk is full, or the maps lie on too many grids to be merged.
    """
    work_path(folder).mkdir(exist_ok=True)
    table = folder / TABLE
    write_table(table, records, card.legend)
    facts = ModelFacts(card.name, card.version, model_hash(model_file), card.licence)
    write_catalog(folder, records, card.legend, facts, f"Land cover, {folder.name}")
    catalog = folder / "stac" / "collection.json"
    joined = [*_join_maps(folder, records, card, model_file)]
    rasters = [path for path in joined if path.suffix == ".vrt"]
    merged = []
    if options.merge and options.polygons is not None:
        merged = _merge_polygons(folder, joined, options.polygons)
    return (table, catalog, *rasters, *merged)


def _join_maps(
    folder: Path, records: Sequence[SceneRecord], card: ModelCard, model_file: Path
) -> Iterator[Path]:
    """A virtual raster of the maps of each grid; the map itself where it is the only one."""
    maps = {
        record.name: record
        for record in records
        if record.state is State.DONE and record.facts and record.facts.grid.is_georeferenced
    }
    grids = {name: one.facts.grid for name, one in maps.items() if one.facts}
    kinds = {name: SceneFacts(grid, 1, "uint8") for name, grid in grids.items()}
    count = 0
    for names in lattices(kinds):
        if len(names) == 1:
            yield folder / maps[names[0]].outputs[0]
            continue
        count += 1
        path = folder / (f"{_JOINED}.vrt" if count == 1 else f"{_JOINED}-{count}.vrt")
        grid, windows = union_grid([grids[name] for name in names])
        placed = [
            PlacedMap(maps[name].outputs[0], window)
            for name, window in zip(names, windows, strict=True)
        ]
        unfinished = work_path(folder) / path.name
        unfinished.write_bytes(maps_xml(placed, grid, card.legend, model_tags(card, model_file)))
        publish(unfinished, path)
        yield path


def _merge_polygons(folder: Path, rasters: Sequence[Path], polygons: PolygonOptions) -> list[Path]:
    """Polygons of all maps in one file, a layer a grid."""
    if len(rasters) > _MOST_LATTICES:
        raise BatchError(
            f"The maps lie on {len(rasters)} grids, too many to merge their polygons. Leave "
            "--merge out: every map has its own then."
        )
    if not rasters:
        return []
    output = folder / f"{_JOINED}{polygons.suffix}"
    unfinished = work_path(folder) / output.name
    for k, raster in enumerate(rasters, 1):
        layer = polygons.layer if k == 1 else f"{polygons.layer}_{k}"
        polygons.make(raster, unfinished, layer=layer, append=k > 1)
    return [_moved(one, folder) for one in _files_of(unfinished)]


def _files_of(path: Path) -> list[Path]:
    """A vector file and what lies beside it, itself last."""
    beside = [one for one in path.parent.glob(f"{path.stem}.*") if one != path]
    return [*sorted(one for one in beside if one.suffix != ".vrt"), path]


def _moved(unfinished: Path, folder: Path) -> Path:
    place = folder / unfinished.name
    with suppress(FileNotFoundError):
        publish(unfinished, place)
    return place

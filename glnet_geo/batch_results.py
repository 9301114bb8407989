"""What describes and joins the maps of a batch: a table, a catalog, virtual rasters, polygons."""

from __future__ import annotations

import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path, PurePosixPath

from glnet_geo.batch_index import INDEX, is_our_index, write_index
from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.batch_report import BatchOptions
from glnet_geo.checkpoint import ModelCard, model_hash
from glnet_geo.errors import BatchError, OutputError
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import Legend
from glnet_geo.map_mosaic import PlacedMap, maps_xml, overlaps, union_grid
from glnet_geo.map_options import model_tags
from glnet_geo.outputs import publish
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.results_table import write_table
from glnet_geo.stac_catalog import write_catalog
from glnet_geo.stac_fields import ModelFacts
from glnet_geo.tile_groups import Mosaic, group_tiles, lattices
from glnet_geo.vector_output import can_hold_layers, is_marked, put_in_place

TABLE = "scenes.csv"
_JOINED = "landcover"
_VRT_NAME = re.compile(rf"{_JOINED}(-[0-9]+)?\.vrt")
_OUR_TAG = b'<MDI key="TIFFTAG_SOFTWARE">glnet-geo '  # the first one of `model_tags`
_HEAD = 1 << 16  # bytes of a virtual raster, its tags among them
_MOST_LAYERS = 50  # of merged polygons
_MARK = "batch", "merged"  # in their metadata

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


def check_index(folder: Path, options: BatchOptions) -> None:
    """Refuses a folder in which somebody else's page has the name of the batch's.

    Raises:
        OutputError: It is so, a page is asked for, and nothing may be replaced.
    """
    path = folder / INDEX
    if options.report and not options.overwrite and not is_our_index(path):
        raise OutputError(_foreign(path))


def write_results(
    folder: Path,
    records: Sequence[SceneRecord],
    card: ModelCard,
    model_file: Path,
    options: BatchOptions,
) -> tuple[Path, ...]:
    """Writes what describes and joins the finished maps.

    What can fail for reasons of its own comes last, so that the rest is there all the same.

    Args:
        folder: The batch's folder.
        records: Its scenes.
        card: Card of the model.
        model_file: The model.
        options: Whether polygons are merged, and how.

    Returns:
        The files.

    Raises:
        GlnetGeoError: The disk is full, a file that no batch has written is in the way, or the
            polygons of the maps do not fit into one file.
    """
    table = folder / TABLE
    write_table(table, records, card.legend)
    facts = ModelFacts(card.name, card.version, model_hash(model_file), card.licence)
    write_catalog(folder, records, card.legend, facts, f"Land cover, {folder.name}")
    catalog = folder / "stac" / "collection.json"
    pages = [*_index_page(folder, records, card, options)]
    maps = {
        record.name: record.outputs[0]
        for record in records
        if record.state is State.DONE and record.facts
    }
    sheets = _sheets(
        {one.name: one.facts.grid for one in records if one.name in maps and one.facts}
    )
    with _fresh_folder(work_path(folder) / "results") as work:
        tags = model_tags(card, model_file)
        joined = [*_join_maps(folder, work, maps, sheets, card.legend, tags, options.overwrite)]
        rasters = [path for path in joined if path.suffix == ".vrt"]
        _remove_others(folder, rasters)
        merged = []
        if options.merge and options.polygons is not None:
            _warn_of_placeless(len(maps) - sum(len(sheet.places) for sheet in sheets))
            merged = _merge_polygons(folder, work, joined, options.polygons, options.overwrite)
    return (table, catalog, *pages, *rasters, *merged)


def _index_page(
    folder: Path, records: Sequence[SceneRecord], card: ModelCard, options: BatchOptions
) -> Iterator[Path]:
    """The page of all scenes, where it is asked for or there already.

    Raises:
        OutputError: Something else has its name, or the disk is full.
    """
    check_index(folder, options)
    path = folder / INDEX
    if not options.report and not (path.exists() and is_our_index(path)):
        return
    model = f"{card.name} {card.version}"
    write_index(path, records, card.legend, folder.absolute().name, model)
    yield path


@contextmanager
def _fresh_folder(path: Path) -> Iterator[Path]:
    """A folder that is empty whatever a run before has left, and gone afterwards."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sheets(grids: Mapping[str, Grid]) -> list[Mosaic]:
    """The maps that are shown as one raster, in the order of their first ones."""
    facts = {
        name: SceneFacts(grid, 1, "uint8") for name, grid in grids.items() if grid.is_georeferenced
    }
    order = {name: k for k, name in enumerate(facts)}
    sheets = [
        sheet
        for names in lattices(facts)
        for sheet in _sheets_of(
            {name: facts[name] for name in sorted(names, key=order.__getitem__)}
        )
    ]
    return sorted(sheets, key=lambda sheet: order[next(iter(sheet.places))])


def _sheets_of(facts: Mapping[str, SceneFacts]) -> list[Mosaic]:
    """Those of one lattice; each map by itself where they lie on none after all."""
    try:
        if len(facts) > 1:
            return _spread(facts)
    except ValueError as error:
        _log.warning(
            "%s and %d more maps are in no virtual raster: %s.",
            next(iter(facts)),
            len(facts) - 1,
            error,
        )
    return [Mosaic(one.grid, {name: one.grid.window}) for name, one in facts.items()]


def _spread(facts: Mapping[str, SceneFacts]) -> list[Mosaic]:
    """Divides the maps of a lattice among as few rasters as show all of each mosaic.

    Mosaics of one folder stay together if they can: years or flights often have a folder each.

    Raises:
        ValueError: The maps lie on no lattice.
    """
    whole, windows = union_grid([one.grid for one in facts.values()])
    mosaics = [[*mosaic.places] for mosaic in group_tiles(facts)]
    mosaic_of = {name: k for k, names in enumerate(mosaics) for name in names}
    owners = [mosaic_of[name] for name in facts]
    hiding = {(owners[j], owners[k]) for j, k in overlaps(windows).tolist()}
    folders = [PurePosixPath(names[0]).parent for names in mosaics]
    in_folder = _lowest_free(len(mosaics), (p for p in hiding if folders[p[0]] == folders[p[1]]))
    stacks = [*zip(folders, in_folder, strict=True)]
    stack_of = {stack: k for k, stack in enumerate(dict.fromkeys(stacks))}
    owned = [stack_of[stack] for stack in stacks]
    numbers = _lowest_free(len(stack_of), {(owned[j], owned[k]) for j, k in hiding})
    sheets: dict[int, dict[str, Window]] = defaultdict(dict)
    for name, owner, window in zip(facts, owners, windows, strict=True):
        sheets[numbers[owned[owner]]][name] = window
    return [_cropped(whole, places) for places in sheets.values()]


def _lowest_free(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """A number for each of n things: the lowest that none before it has with which it is paired."""
    earlier: dict[int, set[int]] = defaultdict(set)
    for one, other in pairs:
        earlier[max(one, other)].add(min(one, other))
    numbers: list[int] = []
    for k in range(n):
        taken = {numbers[j] for j in earlier[k] if j < k}
        numbers.append(next(number for number in count() if number not in taken))
    return numbers


def _cropped(whole: Grid, places: Mapping[str, Window]) -> Mosaic:
    """The smallest grid that holds windows of one."""
    top, left = min(w.top for w in places.values()), min(w.left for w in places.values())
    bottom, right = max(w.bottom for w in places.values()), max(w.right for w in places.values())
    part = Window(top, left, bottom - top, right - left)
    return Mosaic(
        whole.crop(part), {name: window.relative_to(part) for name, window in places.items()}
    )


def _join_maps(
    folder: Path,
    work: Path,
    maps: Mapping[str, str],
    sheets: Sequence[Mosaic],
    legend: Legend,
    tags: Mapping[str, str],
    overwrite: bool,
) -> Iterator[Path]:
    """A virtual raster of each sheet; the map itself where it is the only one.

    Raises:
        OutputError: The name of one is taken by somebody else's, or the disk is full.
    """
    numbers = count(1)
    for sheet in sheets:
        if len(sheet.places) == 1:
            yield from (folder / maps[name] for name in sheet.places)
            continue
        k = next(numbers)
        path = folder / (f"{_JOINED}.vrt" if k == 1 else f"{_JOINED}-{k}.vrt")
        if path.exists() and not (overwrite or _is_our_vrt(path)):
            raise OutputError(_foreign(path))
        placed = [PlacedMap(maps[name], window) for name, window in sheet.places.items()]
        unfinished = work / path.name
        unfinished.write_bytes(maps_xml(placed, sheet.grid, legend, tags))
        publish(unfinished, path)
        yield path


def _is_our_vrt(path: Path) -> bool:
    with path.open("rb") as file:
        return _OUR_TAG in file.read(_HEAD)


def _foreign(path: Path) -> str:
    return (
        f"{path} holds what no batch has written. Move it away, or use --overwrite, which replaces "
        "it and maps all scenes again."
    )


def _remove_others(folder: Path, rasters: Sequence[Path]) -> None:
    """Removes the virtual rasters of earlier runs, which show maps that may be gone."""
    for path in folder.glob(f"{_JOINED}*.vrt"):
        if _VRT_NAME.fullmatch(path.name) and path not in rasters and _is_our_vrt(path):
            path.unlink()


def _warn_of_placeless(n_maps: int) -> None:
    if n_maps:
        _log.warning("%d maps have no place on the ground (no CRS) and no merged polygons.", n_maps)


def _merge_polygons(
    folder: Path, work: Path, rasters: Sequence[Path], polygons: PolygonOptions, overwrite: bool
) -> list[Path]:
    """Polygons of all maps in one file, a layer a raster.

    Raises:
        GlnetGeoError: They do not fit into one, somebody else's has its name, or see `vectorize`.
    """
    if not rasters:
        return []
    output = folder / f"{_JOINED}{polygons.suffix}"
    _check_layers(output, len(rasters))
    if output.exists() and not (overwrite or is_marked(output, *_MARK)):
        raise OutputError(_foreign(output))
    unfinished = work / output.name
    for k, raster in enumerate(rasters, 1):
        polygons.make(
            raster,
            unfinished,
            layer_suffix="" if k == 1 else f"_{k}",
            metadata=dict([_MARK]),
            append=k > 1,
            overwrite=False,
        )
    beside = sorted(one for one in work.glob(f"{_JOINED}.*") if one != unfinished)
    files = {one: folder / one.name for one in (*beside, unfinished)}
    put_in_place(files, output)
    return [*files.values()]


def _check_layers(output: Path, n_rasters: int) -> None:
    """Refuses more than a file holds.

    Raises:
        BatchError: It is more.
    """
    if n_rasters > _MOST_LAYERS:
        raise BatchError(
            f"The maps make {n_rasters} rasters, too many to merge their polygons. Leave --merge "
            "out: every map has polygons of its own then."
        )
    if n_rasters > 1 and not can_hold_layers(output):
        raise BatchError(
            f"The maps make {n_rasters} rasters, and {output.name} holds the polygons of one only. "
            "Merge into a GeoPackage (--vector-format gpkg), or leave --merge out."
        )

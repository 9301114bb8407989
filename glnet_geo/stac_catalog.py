"""A STAC collection of a batch's maps, self-contained: a folder that may move with its maps.

The collection is `stac/collection.json`, an item is `stac/items/<name>.json`, and all links between
them and to the maps are relative; only a scene is named by its absolute path.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac

from glnet_geo.batch_record import SceneRecord, State
from glnet_geo.footprint import footprint_of
from glnet_geo.grid import Grid
from glnet_geo.legend import Legend
from glnet_geo.outputs import publish, working_folder
from glnet_geo.remote import is_remote
from glnet_geo.stac_fields import (
    CLASSIFICATION,
    GEOTIFF,
    PROCESSING,
    PROJECTION,
    ModelFacts,
    crs_fields,
    extent_of,
    media_type,
    model_fields,
    pixel_fields,
    rfc3339,
    slug,
    summaries_of,
)


def write_catalog(
    folder: Path, records: Sequence[SceneRecord], legend: Legend, model: ModelFacts, title: str
) -> None:
    """Writes the collection with an item for each scene that is done and whose map is there.

    Files whose content stays are not touched; items of scenes that are not done are removed.

    Args:
        folder: The batch's folder.
        records: Its scenes; their order is that of the collection's links.
        legend: The classes of the maps.
        model: The model that made them.
        title: Title of the collection.

    Raises:
        OutputError: The disk is full or a file cannot be replaced.
    """
    root = folder / "stac"
    collection_id = slug(title) or "glnet-geo"
    items: dict[str, pystac.Item] = {}
    with working_folder(root) as work:
        for record in records:
            item = _item(folder, record, legend, model, collection_id)
            if item is not None:
                items[_item_file(record.name)] = item
                document = item.to_dict(include_self_link=False, transform_hrefs=False)
                _put(document, root / _item_file(record.name), work)
        collection = _collection(items, legend, model, collection_id, title)
        document = collection.to_dict(include_self_link=False, transform_hrefs=False)
        _put(document, root / "collection.json", work)
        # Last, so that no link of the collection ever leads nowhere.
        _remove_others(root / "items", {root / path for path in items})


def _put(document: Mapping[str, Any], path: Path, work: Path) -> None:
    data = f"{json.dumps(document, indent=2)}\n".encode()
    with suppress(OSError):
        if path.read_bytes() == data:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = work / "unfinished"
    unfinished.write_bytes(data)
    publish(unfinished, path)


def _remove_others(items: Path, kept: set[Path]) -> None:
    """Removes the items that this module wrote once, and the folders that they leave empty."""
    for parent, _, names in os.walk(items, topdown=False):
        for path in (Path(parent, name) for name in names):
            if path.suffix == ".json" and path not in kept and _is_ours(path):
                path.unlink()
        with suppress(OSError):
            os.rmdir(parent)


def _is_ours(path: Path) -> bool:
    try:
        properties = json.loads(path.read_bytes())["properties"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return isinstance(properties, dict) and "glnet_geo:datetime_source" in properties


def _item_file(name: str) -> str:
    """Where a scene's item lies in the catalog's folder.

    Its path is its link at the same time, and some characters of file names end a URL's path.
    """
    return f"items/{_escaped(name, '~#?%')}.json"


def _escaped(text: str, characters: str) -> str:
    return re.sub(f"[{characters}]", lambda found: f"~{ord(found[0]):02x}", text)


def _percent(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02x}"


def _item(
    folder: Path, record: SceneRecord, legend: Legend, model: ModelFacts, collection_id: str
) -> pystac.Item | None:
    if record.state is not State.DONE or record.facts is None or not record.outputs:
        return None
    made = _file_time(folder / record.outputs[0])
    if made is None:
        return None
    grid = record.facts.grid
    place = footprint_of(grid)
    moment, source = _moment(record, made)
    item = pystac.Item(
        id=_escaped(record.name, "~/#?%"),  # a path in APIs
        geometry=place.geometry if place else None,
        bbox=place.bbox if place else None,
        datetime=moment,
        properties={
            "title": record.name,
            **({"gsd": grid.gsd_m} if grid.gsd_m else {}),
            **crs_fields(grid),
            **model_fields(model),
            "glnet_geo:datetime_source": source,
        },
        stac_extensions=[PROJECTION, CLASSIFICATION, PROCESSING],
        collection=collection_id,
    )
    to_root = posixpath.relpath(".", posixpath.dirname(_item_file(record.name)))
    for rel in ("root", "parent", "collection"):
        item.add_link(pystac.Link(rel, f"{to_root}/collection.json", "application/json"))
    for key, asset in _assets(record, grid, legend, made, f"{to_root}/..").items():
        item.add_asset(key, asset)
    return item


def _moment(record: SceneRecord, made: datetime) -> tuple[datetime, str]:
    """When the scene was taken as far as one knows, and who says so."""
    with suppress(ValueError, OverflowError):
        if record.acquired:
            moment = datetime.fromisoformat(record.acquired)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC), "item"
    changed = None if is_remote(record.scene) else _file_time(Path(record.scene))
    return (changed, "file time") if changed else (made, "run")


def _file_time(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _assets(
    record: SceneRecord, grid: Grid, legend: Legend, made: datetime, to_folder: str
) -> dict[str, pystac.Asset]:
    placed = {} if grid.transform.is_identity else {"proj:transform": list(grid.transform)[:6]}
    fields = {
        "created": rfc3339(made),
        "proj:shape": [grid.height, grid.width],
        **placed,
        **pixel_fields(legend, record.pixels),
    }
    cog = f"{GEOTIFF}; profile=cloud-optimized"
    # Programs open links as the paths that they are; these two would end there.
    paths = [f"{to_folder}/{re.sub('[#?]', _percent, output)}" for output in record.outputs]
    assets = {"map": pystac.Asset(paths[0], "Land cover", None, cog, ["data"], fields)}
    if len(paths) > 1:
        kind = media_type(paths[1])
        # GeoJSON is in WGS 84, whatever the map is in.
        own = {"proj:code": "OGC:CRS84"} if kind and kind.startswith("application/geo+json") else {}
        assets["polygons"] = pystac.Asset(paths[1], "Polygons", None, kind, ["data"], own)
    scene = record.scene if is_remote(record.scene) else Path(record.scene).absolute().as_posix()
    assets["source"] = pystac.Asset(scene, "Scene", None, media_type(record.scene), ["source"])
    return assets


def _collection(
    items: Mapping[str, pystac.Item],
    legend: Legend,
    model: ModelFacts,
    collection_id: str,
    title: str,
) -> pystac.Collection:
    moments = [item.datetime for item in items.values() if item.datetime]
    interval = [min(moments, default=None), max(moments, default=None)]
    boxes = [item.bbox for item in items.values() if item.bbox]
    collection = pystac.Collection(
        collection_id,
        f"Land cover mapped by glnet-geo with the model {model.label}. Licence: {model.licence}.",
        pystac.Extent(pystac.SpatialExtent([extent_of(boxes)]), pystac.TemporalExtent([interval])),
        title=title,
        license=model.stac_licence,
        stac_extensions=[PROJECTION, CLASSIFICATION],
        keywords=["land cover", *(c.name for c in legend.classes)],
        extra_fields={"item_assets": _item_assets(items, legend)},
    )
    properties = [item.properties for item in items.values()]
    collection.summaries = pystac.Summaries(summaries_of(properties, model), maxcount=10**6)
    collection.clear_links()
    collection.add_link(pystac.Link("root", "./collection.json", "application/json"))
    for path in items:
        collection.add_link(pystac.Link("item", f"./{path}", "application/geo+json"))
    return collection


def _item_assets(items: Mapping[str, pystac.Item], legend: Legend) -> dict[str, Any]:
    """What the assets of all items have in common."""
    found: dict[str, dict[str, Any]] = {}
    for item in items.values():
        for key, asset in item.assets.items():
            fields = {"title": asset.title, "type": asset.media_type, "roles": asset.roles}
            common = found.setdefault(key, fields)
            found[key] = {k: v for k, v in common.items() if v is not None and fields[k] == v}
    if "map" in found:
        found["map"] |= pixel_fields(legend)
    return found

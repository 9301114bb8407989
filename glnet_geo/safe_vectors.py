"""What strangers' vector files may be: GeoPackage and GeoJSON, without what leads out of them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from glnet_geo.errors import FeaturesError, GlnetGeoError
from glnet_geo.safety import safe_file

_SQLITE = b"SQLite format 3\0"
_GEOPACKAGE = (b"GPKG", b"GP10", b"GP11")  # SQLite's application id
_MAX_JSON = 64_000_000  # bytes
_URL = re.compile(r"\w://(?!www\.opengis\.net/)")
_FORMATS = "--safe reads GeoPackage (.gpkg) and GeoJSON (.geojson, .json) only"


def check_vector_file(path: Path) -> None:
    """Refuses a vector file that may make GDAL open another, or a server.

    GDAL cannot be told which drivers to open a vector file with, so the file must be what they
    recognise before any other. A GeoPackage must have neither views nor virtual tables but those
    of its index, whose SQL is the stranger's; a GeoJSON no CRS that is a link, which GDAL fetches.

    Raises:
        FeaturesError: It is another file.
    """
    try:
        real = safe_file(path)
    except GlnetGeoError as error:
        raise FeaturesError(str(error)) from None
    suffix = real.suffix.lower()
    if suffix == ".gpkg":
        _check_geopackage(path, real)
    elif suffix in (".geojson", ".json"):
        _check_geojson(path, real)
    else:
        raise FeaturesError(f"{path} is of another format: {_FORMATS}.")


def _check_geopackage(path: Path, real: Path) -> None:
    with real.open("rb") as file:
        head = file.read(72)
    if head[:16] != _SQLITE or head[68:72] not in _GEOPACKAGE:
        raise FeaturesError(f"{path} is no GeoPackage, and {_FORMATS}.")
    if any(real.with_name(f"{real.name}-{part}").exists() for part in ("wal", "journal", "shm")):
        raise FeaturesError(f"{path} is open in another program, or was not closed. Save it anew.")
    try:
        with closing(sqlite3.connect(f"{real.as_uri()}?immutable=1", uri=True)) as database:
            rows = database.execute("SELECT type, sql FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise FeaturesError(f"{path} cannot be read as a GeoPackage: {error}.") from None
    for kind, sql in rows:
        words = " ".join(re.sub(r"/\*.*?\*/|--[^\n]*", " ", str(sql), flags=re.DOTALL).split())
        is_virtual = re.match("create ?.*virtual", words, re.IGNORECASE)
        is_index = re.match(r"create virtual table \S+ using rtree ?\(", words, re.IGNORECASE)
        if kind == "view" or (kind == "table" and is_virtual and not is_index):
            raise FeaturesError(
                f"{path} has a view or a virtual table, which --safe does not read. Export the "
                "layer to a file of its own."
            )


def _check_geojson(path: Path, real: Path) -> None:
    if real.stat().st_size > _MAX_JSON:
        raise FeaturesError(
            f"{path} is larger than {_MAX_JSON // 10**6} MB, which --safe does not read. Save it "
            "as a GeoPackage."
        )
    try:
        content = json.loads(real.read_bytes(), object_pairs_hook=_without_links)
    except (ValueError, RecursionError) as error:
        raise FeaturesError(f"{path} cannot be read as GeoJSON: {error}.") from None
    kind = content.get("type") if isinstance(content, dict) else None
    if kind in (None, "Topology"):
        raise FeaturesError(f"{path} is no GeoJSON, and {_FORMATS}.")


def _without_links(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; the keys are GDAL's, which takes CRS for crs."""
    for key, value in pairs:
        if key.lower() == "crs" and isinstance(value, dict):
            kinds = [str(one).lower() for name, one in value.items() if name.lower() == "type"]
            if set(kinds) - {"name", "epsg"} or _URL.search(json.dumps(value)):
                raise ValueError("its CRS is a link, which --safe does not follow")
    return dict(pairs)

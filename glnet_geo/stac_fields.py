"""What STAC calls what a catalog says of maps: fields of its extensions, without any files.

The extensions are projection 2.0.0, classification 2.0.0 and processing 1.1.0
(https://github.com/stac-extensions).
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from glnet_geo.footprint import crs_names
from glnet_geo.grid import Grid
from glnet_geo.legend import NODATA, Legend

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
GEOTIFF = "image/tiff; application=geotiff"
_MEDIA_TYPES = {
    ".tif": GEOTIFF,
    ".tiff": GEOTIFF,
    ".jp2": "image/jp2",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gpkg": "application/geopackage+sqlite3",
    ".fgb": "application/vnd.flatgeobuf",
    ".geojson": "application/geo+json",
    ".geojsonl": "application/geo+json-seq",
    ".geojsons": "application/geo+json-seq",
    ".parquet": "application/vnd.apache.parquet",
    ".geoparquet": "application/vnd.apache.parquet",
    ".shp": "application/vnd.shp",
}
# Licences of weights, as https://spdx.org/licenses writes them; STAC calls all else "other".
_SPDX = {
    *("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "MPL-2.0"),
    *("GPL-2.0-only", "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "LGPL-3.0-only"),
    *("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0"),
    *("ODbL-1.0", "ODC-By-1.0", "PDDL-1.0", "etalab-2.0", "OGL-UK-3.0", "DL-DE-BY-2.0"),
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a catalog says of the model behind its maps.

    Attributes:
        name: Its name.
        version: Its version.
        licence: Licence of its weights.
        sha256: Digest of its file, in hexadecimal.
    """

    name: str
    version: str
    licence: str
    sha256: str

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def stac_licence(self) -> str:
        """The licence as STAC calls it."""
        return self.licence if self.licence in _SPDX else "other"


def crs_fields(grid: Grid) -> dict[str, Any]:
    """The CRS of a map."""
    code, wkt = crs_names(grid.crs) if grid.crs else (None, None)
    return {"proj:code": code, **({"proj:wkt2": wkt} if wkt else {})}


def model_fields(model: ModelFacts) -> dict[str, Any]:
    """Which model made the maps."""
    return {
        "processing:lineage": f"Land cover by glnet-geo with the model {model.label}",
        "processing:software": {model.name: model.version},
        "glnet_geo:model": model.label,
        "glnet_geo:model_sha256": model.sha256,
    }


def media_type(path: str) -> str | None:
    """That of a file or URL by its extension; None for one that is not known."""
    return _MEDIA_TYPES.get(posixpath.splitext(path.split("?")[0])[1].lower())


def pixel_fields(legend: Legend, counts: Mapping[int, int] | None = None) -> dict[str, Any]:
    """What the pixels of a map mean, and how many of it has of each."""
    classes: list[dict[str, Any]] = []
    for c in legend.classes:
        name = slug(c.name) or f"class_{c.id}"
        # Two names may differ in what is left out; "nodata" is another one's.
        taken = {one["name"] for one in classes} | {"nodata"}
        name = f"{name}_{c.id}" if name in taken else name
        color = c.color[1:].upper()
        classes.append({"value": c.id, "name": name, "title": c.name, "color_hint": color})
    classes.append({"value": NODATA, "name": "nodata", "title": "No data", "nodata": True})
    if counts:
        classes = [{**one, "count": counts.get(one["value"], 0)} for one in classes]
    return {"data_type": "uint8", "nodata": NODATA, "classification:classes": classes}


def slug(text: str) -> str:
    """Letters, digits, hyphens and underscores, as names of classes have to be."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub("[^0-9A-Za-z_-]+", "_", plain).strip("_")


def summaries_of(properties: Sequence[Mapping[str, Any]], model: ModelFacts) -> dict[str, Any]:
    """What a collection says of its items' properties."""
    sizes = [one["gsd"] for one in properties if "gsd" in one]
    codes = sorted({one["proj:code"] for one in properties if one["proj:code"]})
    return {
        **({"gsd": {"minimum": min(sizes), "maximum": max(sizes)}} if sizes else {}),
        **({"proj:code": codes} if codes else {}),
        "glnet_geo:model": [model.label],
    }


def extent_of(boxes: Sequence[Sequence[float]]) -> list[float]:
    """A box that holds boxes, by RFC 7946; the globe where there is none.

    Where one crosses the antimeridian it does so as well, unless that would leave nothing out.
    """
    globe = [-180.0, -90.0, 180.0, 90.0]
    if not boxes:
        return globe
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if all(box[0] <= box[2] for box in boxes):
        return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]
    # Counted from Greenwich eastwards no longitude jumps at the antimeridian.
    spans = [(box[0] % 360, box[0] % 360 + (box[2] - box[0]) % 360) for box in boxes]
    west, east = min(start for start, _ in spans), max(stop for _, stop in spans)
    if east > 360 or any(box[2] - box[0] >= 360 for box in boxes):
        return [-180.0, south, 180.0, north]
    return [west - 360 if west >= 180 else west, south, east - 360 if east > 180 else east, north]


def rfc3339(moment: datetime) -> str:
    """A time in UTC as STAC writes it."""
    return moment.isoformat().replace("+00:00", "Z")

"""What the numbers of a class raster mean: ids, names, colours, and what counts nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.errors import GlnetGeoError

NODATA = 255
"""The value of a class raster where the scene has no data; ids run from 0 to 254."""

IGNORED = 255
"""The position that stands for no class, in targets of training."""


class LegendError(GlnetGeoError):
    """A legend that is incomplete or contradicts itself."""


@dataclass(frozen=True, slots=True)
class LandCover:
    """One class of a legend.

    Attributes:
        id: Its value in class rasters, 0-254.
        name: Its name as people read it.
        rgb: Its colour, 0-255 each.
    """

    id: int
    name: str
    rgb: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not 0 <= self.id < NODATA:
            raise LegendError(f"class id {self.id} of {self.name!r} is outside 0-254.")
        # Names reach terminals, XML and SQL: what cannot be printed has no business in one.
        if not self.name or not self.name.isprintable() or len(self.name) > 100:
            raise LegendError(f"class name {self.name!r} of id {self.id} is not 1-100 characters.")
        if len(self.rgb) != 3 or not all(0 <= value <= 255 for value in self.rgb):
            raise LegendError(f"colour {self.rgb} of class {self.name!r} is outside 0-255.")

    @property
    def color(self) -> str:
        """The colour as #rrggbb."""
        return "#{:02x}{:02x}{:02x}".format(*self.rgb)


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a model or a map.

    Attributes:
        name: Name of the legend.
        classes: The classes; their order is that of the network's outputs.
        ignore: Label values that count nowhere. An id may stand in both: then it is an output
            that is left out of scores and never predicted (DeepGlobe's "unknown").
    """

    name: str
    classes: tuple[LandCover, ...]
    ignore: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or len(self.name) > 100:
            raise LegendError(f"legend name {self.name!r} is not 1-100 printable characters.")
        ids = [land_cover.id for land_cover in self.classes]
        names = [land_cover.name for land_cover in self.classes]
        if not ids:
            raise LegendError(f"legend {self.name!r} has no classes.")
        if len(set(ids)) < len(ids) or len(set(names)) < len(names):
            raise LegendError(f"legend {self.name!r} has an id or a name twice.")
        if not self.counted:
            raise LegendError(f"legend {self.name!r} ignores all of its classes.")
        if not all(0 <= value <= NODATA for value in self.ignore):
            raise LegendError(f"legend {self.name!r} ignores values outside 0-255.")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def theme(self) -> str:
        """What they are classes of."""
        return "land cover"

    @property
    def ids(self) -> npt.NDArray[np.uint8]:
        """Class ids in the order of the network's outputs."""
        return np.array([land_cover.id for land_cover in self.classes], np.uint8)

    @property
    def counted(self) -> tuple[int, ...]:
        """Positions (not ids) of the classes that are predicted and scored."""
        return tuple(i for i, c in enumerate(self.classes) if c.id not in self.ignore)

    def rgb_table(self) -> npt.NDArray[np.uint8]:
        """Colours by class id: 256 x 3; what is no class is black, nodata white."""
        table = np.zeros((256, 3), np.uint8)
        table[NODATA] = 255
        for land_cover in self.classes:
            table[land_cover.id] = land_cover.rgb
        return table

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, as `Legend.from_dict` reads it."""
        return {
            "name": self.name,
            "ignore": sorted(self.ignore),
            "classes": [{"id": c.id, "name": c.name, "color": c.color} for c in self.classes],
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Legend:
        """Reads the table form that dataset files, legend files and model cards share.

        Args:
            table: `{"name", "ignore": [...], "classes": [{"id", "name", "color": "#rrggbb"}]}`.

        Raises:
            LegendError: A key is missing, unknown or of the wrong type.
        """
        surplus = set(table) - {"name", "ignore", "classes"}
        if surplus:
            raise LegendError(f"a legend has no key {sorted(map(str, surplus))[0]!r}.")
        name, classes, ignore = table.get("name"), table.get("classes"), table.get("ignore", [])
        if not isinstance(name, str) or not isinstance(classes, list):
            raise LegendError('a legend needs a "name" and a list "classes".')
        if not isinstance(ignore, list) or not all(type(value) is int for value in ignore):
            raise LegendError(f'"ignore" of legend {name!r} is not a list of whole numbers.')
        return cls(name, tuple(_land_cover(entry) for entry in classes), frozenset(ignore))


def _land_cover(entry: Any) -> LandCover:
    if not isinstance(entry, Mapping) or set(entry) != {"id", "name", "color"}:
        raise LegendError(f'a class needs exactly "id", "name" and "color", got {entry!r:.80}.')
    color = entry["color"]
    if type(entry["id"]) is not int or not isinstance(entry["name"], str):
        raise LegendError(f"id or name of class {entry!r:.80} is of the wrong type.")
    if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise LegendError(f"colour {color!r:.40} of class {entry['name']!r:.40} is not #rrggbb.")
    red, green, blue = bytes.fromhex(color[1:])
    return LandCover(entry["id"], entry["name"], (red, green, blue))


def _built_in(name: str, classes: str, ignore: tuple[int, ...] = ()) -> Legend:
    """Builds a legend from lines of `id name #rrggbb`."""
    rows = [line.split() for line in classes.strip().splitlines()]
    table = [{"id": int(row[0]), "name": " ".join(row[1:-1]), "color": row[-1]} for row in rows]
    return Legend.from_dict({"name": name, "classes": table, "ignore": list(ignore)})


DEEPGLOBE = _built_in(
    "deepglobe",
    """
    0 unknown #000000
    1 urban #00ffff
    2 agriculture #ffff00
    3 rangeland #ff00ff
    4 forest #00ff00
    5 water #0000ff
    6 barren #ffffff
    """,
    ignore=(0,),
)
INRIA = _built_in(
    "inria",
    """
    0 background #000000
    1 building #ffffff
    """,
)
ISIC = _built_in(
    "isic",
    """
    0 skin #000000
    1 lesion #ffffff
    """,
)
LOVEDA = _built_in(
    "loveda",
    """
    1 background #ffffff
    2 building #ff0000
    3 road #ffff00
    4 water #0000ff
    5 barren #9f81b7
    6 forest #00ff00
    7 agriculture #ffc380
    """,
    ignore=(0,),
)
DUBAI = _built_in(
    "dubai",
    """
    1 building #3c1098
    2 land #8429f6
    3 road #6ec1e4
    4 vegetation #fedd3a
    5 water #e2a929
    """,
    ignore=(0,),
)

BUILT_IN = {legend.name: legend for legend in (DEEPGLOBE, INRIA, ISIC, LOVEDA, DUBAI)}


def find_legend(name_or_path: str, folder: Path = Path()) -> Legend:
    """A built-in legend by its name, or one from a JSON file.

    Args:
        name_or_path: A name in `BUILT_IN`, or a path of a JSON file.
        folder: What a relative path starts from.

    Raises:
        LegendError: There is no such legend, or the file does not hold one.
    """
    if name_or_path in BUILT_IN:
        return BUILT_IN[name_or_path]
    path = folder / name_or_path
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(BUILT_IN)
        raise LegendError(f"{name_or_path} is neither a file nor a legend ({known}).") from None
    except (OSError, ValueError, RecursionError) as error:
        raise LegendError(f"{path} cannot be read as a JSON legend: {error}.") from None
    if not isinstance(table, dict):
        raise LegendError(f"{path} does not hold a legend: the top level is not an object.")
    return Legend.from_dict(table)

"""The dataset file: a legend, scenes with their labels, and options of the model."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from glnet_geo.errors import DatasetError, GlnetGeoError
from glnet_geo.legend import Legend, find_legend
from glnet_geo.model_options import resolve_options

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """An image with its labels.

    Attributes:
        image: Any raster file that GDAL opens.
        labels: A raster of class ids or of colours of the legend, or a vector file of polygons.
        split: One of `SPLITS`.
        palette: Whether the labels are RGB colours of the legend instead of ids.
        bands: Bands of the image, from 1; None for the model's default.
        labels_map: Label values (ids; names or ids in a vector file) that mean another id.
        gsd: Ground sample distance in metres, where the CRS does not say.
        attribute: Column of a vector file with the class's name or id; None to look for it.
        layer: Layer of a vector file; None for the only one with polygons.
        unlabelled: What lies outside every polygon of a vector file: "ignore", or a class's name.
        aoi: Vector file; what lies outside its polygons is ignored.
    """

    image: Path
    labels: Path
    split: str
    palette: bool = False
    bands: tuple[int, ...] | None = None
    labels_map: Mapping[int | str, int] = field(default_factory=dict)
    gsd: float | None = None
    attribute: str | None = None
    layer: str | None = None
    unlabelled: str = "ignore"
    aoi: Path | None = None
    blocks: Any = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset file.

    Attributes:
        name: Its name.
        legend: The classes.
        scenes: Images with labels.
        model: The `[model]` table, as it is: see `model_options.resolve_options`.
    """

    name: str
    legend: Legend
    scenes: tuple[LabelledScene, ...]
    model: Mapping[str, Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """What a run reads."""
        return tuple(path for scene in self.scenes for path in (scene.image, scene.labels))

    def split(self, name: str) -> tuple[LabelledScene, ...]:
        """The scenes of one split."""
        return tuple(scene for scene in self.scenes if scene.split == name)


def load_dataset(path: Path, data: Path | None = None) -> Dataset:
    """Reads a dataset file.

    Args:
        path: A TOML file.
        data: What relative paths start from; None for the file's folder.

    Raises:
        DatasetError: The file, or an entry of it, cannot be used.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as TOML: {error}.") from None
    folder = data or path.parent
    try:
        _refuse_unknown(table, {"name", "legend", "scenes", "model"}, "the dataset file")
        name = _take(table, "name", str, "the dataset file")
        legend = _legend(table.get("legend"), path.parent)
        entries = _take(table, "scenes", list, "the dataset file")
        scenes = tuple(_scene(entry, folder) for entry in entries)
        model = table.get("model", {})
        if not isinstance(model, dict):
            raise DatasetError("[model] is not a table.")
        resolve_options(model)
    except GlnetGeoError as error:
        raise DatasetError(f"{path}: {error}") from None
    if not any(scene.split == "train" for scene in scenes):
        raise DatasetError(f'{path}: no scene has split = "train".')
    return Dataset(name, legend, scenes, model)


def _legend(entry: Any, folder: Path) -> Legend:
    if isinstance(entry, str):
        return find_legend(entry, folder)
    if isinstance(entry, dict):
        return Legend.from_dict(entry)
    raise DatasetError("legend is neither a name, a JSON file nor a table.")


def _scene(entry: Any, folder: Path) -> LabelledScene:
    if not isinstance(entry, dict):
        raise DatasetError("scenes is not a list of tables ([[scenes]]).")
    where = f"scene {entry.get('image', '?')}"
    _refuse_unknown(entry, {f.name for f in fields(LabelledScene)}, where)
    split = _take(entry, "split", str, where)
    if split not in SPLITS:
        raise DatasetError(f"{where} has split {split!r}; it is one of {', '.join(SPLITS)}.")
    bands = entry.get("bands")
    if bands is not None and not _whole_numbers(bands):
        raise DatasetError(f"bands of {where} is not a list of whole numbers.")
    labels_map = entry.get("labels_map", {})
    if not isinstance(labels_map, dict) or not _ids(labels_map.values()):
        raise DatasetError(f"labels_map of {where} is not a table of 0-255 = 0-255.")
    if not all(key.isdecimal() and int(key) <= 255 for key in labels_map):
        raise DatasetError(f"labels_map of {where} has a key outside 0-255.")
    return LabelledScene(
        folder / _take(entry, "image", str, where),
        folder / _take(entry, "labels", str, where),
        split,
        bool(entry.get("palette", False)),
        None if bands is None else tuple(bands),
        {int(key): value for key, value in labels_map.items()},
    )


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise DatasetError(f"{where} has the unknown key {unknown[0]!r}.")


def _take(table: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = table.get(key)
    if not isinstance(value, kind):
        raise DatasetError(f"{where} needs {key!r} ({kind.__name__}).")
    return value


def _whole_numbers(values: Iterable[Any]) -> bool:
    return isinstance(values, Iterable) and all(type(value) is int for value in values)


def _ids(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value <= 255 for value in values)

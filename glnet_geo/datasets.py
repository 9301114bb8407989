"""The dataset file: a legend, scenes with their labels, and options of the model."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from glnet_geo.deepglobe import deepglobe_pairs
from glnet_geo.errors import DatasetError, GlnetGeoError
from glnet_geo.legend import DEEPGLOBE, Legend, find_legend
from glnet_geo.model_options import resolve_options
from glnet_geo.splits import SPLITS, BlockRegion, Blocks
from glnet_geo.units import parse_length

_KEYS = {"name", "legend", "scenes", "model", "blocks", "deepglobe"}


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
        blocks: What of it the split may use; None for all.
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
    blocks: BlockRegion | None = None


_SCENE_KEYS = {one.name for one in fields(LabelledScene)} - {"blocks"}


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
        paths = [(scene.image, scene.labels, scene.aoi) for scene in self.scenes]
        return tuple(path for of_scene in paths for path in of_scene if path is not None)

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
    try:
        return _dataset(table, data or path.parent, path.parent)
    except GlnetGeoError as error:
        raise DatasetError(f"{path}: {error}") from None


def _dataset(table: Mapping[str, Any], data: Path, here: Path) -> Dataset:
    _refuse_unknown(table, _KEYS, "the dataset file")
    model = _table(table, "model")
    resolve_options(model)
    if "deepglobe" in table:
        scenes = _deepglobe(table, data, here)
        name = str(table.get("name", DEEPGLOBE.name))
        return Dataset(name, _legend(table.get("legend", DEEPGLOBE.name), here), scenes, model)
    name = _take(table, "name", str, "the dataset file")
    legend = _legend(table.get("legend"), here)
    entries = _take(table, "scenes", list, "the dataset file")
    blocks = _blocks(_table(table, "blocks")) if "blocks" in table else None
    scenes = tuple(scene for entry in entries for scene in _scenes(entry, data, legend, blocks))
    if blocks is not None and not any(scene.blocks for scene in scenes):
        raise DatasetError('[blocks] is of no use: no scene has split = "blocks".')
    if not any(scene.split == "train" for scene in scenes):
        raise DatasetError('no scene has split = "train".')
    return Dataset(name, legend, scenes, model)


def _deepglobe(table: Mapping[str, Any], data: Path, here: Path) -> tuple[LabelledScene, ...]:
    """The scenes of DeepGlobe's own folder."""
    surplus = sorted({"scenes", "blocks"} & set(table))
    if surplus:
        raise DatasetError(f"{surplus[0]} has no place beside deepglobe, which says all scenes.")
    entry = table["deepglobe"]
    entry = {"folder": entry} if isinstance(entry, str) else _table(table, "deepglobe")
    _refuse_unknown(entry, {"folder", *SPLITS}, "deepglobe")
    folder = data / _take(entry, "folder", str, "deepglobe")
    lists = {
        split: here / _take(entry, split, str, "deepglobe") for split in SPLITS if split in entry
    }
    return tuple(
        LabelledScene(image, mask, split, palette=True)
        for image, mask, split in deepglobe_pairs(folder, lists)
    )


def _blocks(table: Mapping[str, Any]) -> Blocks:
    _refuse_unknown(table, {one.name for one in fields(Blocks)}, "[blocks]")
    values = dict(table)
    values["size"] = parse_length(_take(values, "size", str, "[blocks]"))
    if "buffer" in values:
        values["buffer"] = parse_length(_take(values, "buffer", str, "[blocks]"))
    for name in ("val", "test"):
        if name in values and type(values[name]) not in (int, float):
            raise DatasetError(f"{name} of [blocks] is not a number.")
    if type(values.get("seed", 0)) is not int:
        raise DatasetError("seed of [blocks] is not a whole number.")
    return Blocks(**values)


def _legend(entry: Any, folder: Path) -> Legend:
    if isinstance(entry, str):
        return find_legend(entry, folder)
    if isinstance(entry, dict):
        return Legend.from_dict(entry)
    raise DatasetError("legend is neither a name, a JSON file nor a table.")


def _scenes(
    entry: Any, folder: Path, legend: Legend, blocks: Blocks | None
) -> Iterator[LabelledScene]:
    """A scene; or one for each split that has blocks in it."""
    if not isinstance(entry, dict):
        raise DatasetError("scenes is not a list of tables ([[scenes]]).")
    where = f"scene {entry.get('image', '?')}"
    _refuse_unknown(entry, _SCENE_KEYS, where)
    split = _take(entry, "split", str, where)
    if split not in (*SPLITS, "blocks"):
        known = ", ".join((*SPLITS, "blocks"))
        raise DatasetError(f"{where} has split {split!r}; it is one of {known}.")
    scene = _scene(entry, folder, legend, where)
    if split != "blocks":
        yield scene
        return
    if blocks is None:
        raise DatasetError(f'{where} has split "blocks". Say how large they are: [blocks].')
    for used in blocks.used:
        yield replace(scene, split=used, blocks=BlockRegion(blocks, used))


def _scene(entry: dict[str, Any], folder: Path, legend: Legend, where: str) -> LabelledScene:
    bands, gsd, aoi = (entry.get(name) for name in ("bands", "gsd", "aoi"))
    if bands is not None and not _whole_numbers(bands):
        raise DatasetError(f"bands of {where} is not a list of whole numbers.")
    if gsd is not None and not (type(gsd) in (int, float) and gsd > 0):
        raise DatasetError(f"gsd of {where} is not a positive number of metres.")
    palette = entry.get("palette", False)
    if not isinstance(palette, bool):
        raise DatasetError(f"palette of {where} is neither true nor false.")
    for name in ("attribute", "layer", "unlabelled", "aoi"):
        if name in entry and not (isinstance(entry[name], str) and entry[name]):
            raise DatasetError(f"{name} of {where} is not a text.")
    unlabelled = entry.get("unlabelled", "ignore")
    names = [one.name for one in legend.classes]
    if unlabelled.casefold() not in {"ignore", *(name.casefold() for name in names)}:
        raise DatasetError(
            f"unlabelled of {where} is {unlabelled!r}; it is ignore, or one of {', '.join(names)}."
        )
    return LabelledScene(
        folder / _take(entry, "image", str, where),
        folder / _take(entry, "labels", str, where),
        entry["split"],
        palette,
        None if bands is None else tuple(bands),
        _labels_map(entry.get("labels_map", {}), where),
        gsd,
        entry.get("attribute"),
        entry.get("layer"),
        unlabelled,
        None if aoi is None else folder / aoi,
    )


def _labels_map(table: Any, where: str) -> dict[int | str, int]:
    if not isinstance(table, dict) or not _ids(table.values()):
        raise DatasetError(f"labels_map of {where} is not a table of values = 0-255.")
    if any(key.isdecimal() and int(key) > 255 for key in table):
        raise DatasetError(f"labels_map of {where} has a key outside 0-255.")
    return {int(key) if key.isdecimal() else key: value for key, value in table.items()}


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise DatasetError(f"{key} is not a table.")
    return value


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

"""The dataset file: a legend, scenes with their labels, and options of the model."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from glnet_geo.deepglobe import find_images
from glnet_geo.errors import DatasetError, GlnetGeoError
from glnet_geo.legend import DEEPGLOBE, Legend, find_legend
from glnet_geo.model_options import resolve_options
from glnet_geo.splits import SPLITS, BlockPlan, BlockRegion

_BLOCKS = "blocks"  # the split of scenes that `[blocks]` divides
_FILE = "the dataset file"
_FILE_KEYS = {"name", "legend", "scenes", "deepglobe", "blocks", "model"}
_SCENE_KEYS = {
    "image",
    "labels",
    "split",
    "palette",
    "bands",
    "labels_map",
    "gsd",
    "attribute",
    "layer",
    "unlabelled",
    "aoi",
}


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """An image with its labels.

    Attributes:
        image: Any raster file that GDAL opens.
        labels: A raster of class ids or of colours of the legend, or a vector file of polygons.
        split: One of `splits.SPLITS`.
        palette: Whether the labels are RGB colours of the legend instead of ids.
        bands: Bands of the image, from 1; None for the model's default.
        labels_map: Label values (ids; names or ids in a vector file) that mean another id.
        gsd: Ground sample distance in metres, where the CRS does not say.
        attribute: Column of a vector file with the class's name or id; None to look for it.
        layer: Layer of a vector file; None for the only one with polygons.
        unlabelled: What lies outside every polygon of a vector file: "ignore", or a class's name.
        aoi: Vector file; what lies outside its polygons is ignored.
        blocks: The part of the scene whose labels the split may use; None for all of it. A scene
            that `[blocks]` divides is here once for each split.
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
    def n_bands(self) -> int:
        """Bands that a new model takes: those that are named, else three."""
        bands = next((scene.bands for scene in self.scenes if scene.bands), None)
        return 3 if bands is None else len(bands)

    @property
    def files(self) -> tuple[Path, ...]:
        """What a run reads, each file once."""
        paths = (path for scene in self.scenes for path in (scene.image, scene.labels, scene.aoi))
        return tuple(dict.fromkeys(path for path in paths if path is not None))

    def split(self, name: str) -> tuple[LabelledScene, ...]:
        """The scenes of one split."""
        return tuple(scene for scene in self.scenes if scene.split == name)


def load_dataset(path: Path, data: Path | None = None) -> Dataset:
    """Reads a dataset file.

    Args:
        path: A TOML file.
        data: What relative paths start from; None for the file's folder. Legends and lists of
            images may lie beside the file all the same.

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
        dataset = _dataset(table, path.parent, data or path.parent)
    except GlnetGeoError as error:
        raise DatasetError(f"{path}: {error}") from None
    if not dataset.split("train"):
        raise DatasetError(f'{path}: no scene has split = "train".')
    return dataset


def _dataset(table: Mapping[str, Any], beside: Path, folder: Path) -> Dataset:
    _refuse_unknown(table, _FILE_KEYS, _FILE)
    if "deepglobe" in table:
        if "scenes" in table:
            raise DatasetError("deepglobe and [[scenes]] are both given; one says what there is.")
        table = {"name": DEEPGLOBE.name, "legend": DEEPGLOBE.name, **table}
    name = _take(table, "name", str, _FILE)
    legend = _legend(table.get("legend"), beside)
    if "deepglobe" in table:
        scenes = _deepglobe(table["deepglobe"], beside, folder)
    else:
        entries = _take(table, "scenes", list, _FILE)
        scenes = tuple(_scene(entry, folder, legend) for entry in entries)
    plan = BlockPlan.from_dict(table["blocks"]) if "blocks" in table else None
    scenes = _in_blocks(scenes, plan, folder)
    model = table.get("model", {})
    if not isinstance(model, dict):
        raise DatasetError("[model] is not a table.")
    resolve_options(model)
    return Dataset(name, legend, scenes, model)


def _legend(entry: Any, folder: Path) -> Legend:
    if isinstance(entry, str):
        return find_legend(entry, folder)
    if isinstance(entry, dict):
        return Legend.from_dict(entry)
    raise DatasetError("legend is neither a name, a JSON file nor a table.")


def _deepglobe(entry: Any, beside: Path, folder: Path) -> tuple[LabelledScene, ...]:
    if isinstance(entry, str):
        entry = {"folder": entry}
    if not isinstance(entry, dict):
        raise DatasetError("deepglobe is neither a folder nor a table with one.")
    _refuse_unknown(entry, {"folder", *SPLITS}, "deepglobe")
    lists: dict[str, Path] = {}
    for split in (one for one in SPLITS if one in entry):
        name = _text(entry, split, "deepglobe")
        # A recipe carries its lists, while an archive of images may carry its own.
        lists[split] = next(
            (p for p in (beside / name, folder / name) if p.is_file()), folder / name
        )
    images = find_images(folder / _text(entry, "folder", "deepglobe"), lists or None)
    return tuple(LabelledScene(one.image, one.labels, one.split, palette=True) for one in images)


def _in_blocks(
    scenes: tuple[LabelledScene, ...], plan: BlockPlan | None, folder: Path
) -> tuple[LabelledScene, ...]:
    """Scenes with those that `[blocks]` divides once for each split."""
    divided = [scene for scene in scenes if scene.split == _BLOCKS]
    if plan is None:
        if divided:
            raise DatasetError(
                f'scene {divided[0].image} has split = "blocks", but there is no [blocks] table '
                'with their size, such as size = "500m".'
            )
        return scenes
    if not divided:
        raise DatasetError('[blocks] is given, but no scene has split = "blocks".')
    parts: list[LabelledScene] = []
    for scene in scenes:
        if scene.split == _BLOCKS:
            image = scene.image
            # Without the folder, which differs between machines.
            name = image.relative_to(folder) if image.is_relative_to(folder) else image
            regions = plan.regions(name.as_posix())
            parts += [replace(scene, split=split, blocks=regions[split]) for split in regions]
        else:
            parts.append(scene)
    return tuple(parts)


def _scene(entry: Any, folder: Path, legend: Legend) -> LabelledScene:
    if not isinstance(entry, dict):
        raise DatasetError("scenes is not a list of tables ([[scenes]]).")
    where = f"scene {entry.get('image', '?')}"
    _refuse_unknown(entry, _SCENE_KEYS, where)
    split = _take(entry, "split", str, where)
    if split not in (*SPLITS, _BLOCKS):
        raise DatasetError(
            f"{where} has split {split!r}; it is one of {', '.join(SPLITS)}, {_BLOCKS}."
        )
    bands = entry.get("bands")
    if bands is not None and not _whole_numbers(bands):
        raise DatasetError(f"bands of {where} is not a list of whole numbers from 1.")
    aoi = _text(entry, "aoi", where) if "aoi" in entry else None
    return LabelledScene(
        folder / _text(entry, "image", where),
        folder / _text(entry, "labels", where),
        split,
        palette=_palette(entry, where),
        bands=None if bands is None else tuple(bands),
        labels_map=_labels_map(entry.get("labels_map", {}), where),
        gsd=_gsd(entry, where),
        attribute=_text(entry, "attribute", where) if "attribute" in entry else None,
        layer=_text(entry, "layer", where) if "layer" in entry else None,
        unlabelled=_unlabelled(entry, legend, where),
        aoi=None if aoi is None else folder / aoi,
    )


def _palette(entry: Mapping[str, Any], where: str) -> bool:
    palette = entry.get("palette", False)
    if not isinstance(palette, bool):
        raise DatasetError(f"palette of {where} is neither true nor false.")
    return palette


def _gsd(entry: Mapping[str, Any], where: str) -> float | None:
    if "gsd" not in entry:
        return None
    gsd = entry["gsd"]
    if type(gsd) not in (int, float) or not 0 < gsd < math.inf:
        raise DatasetError(f"gsd of {where} is not a positive number of metres.")
    return float(gsd)


def _unlabelled(entry: Mapping[str, Any], legend: Legend, where: str) -> str:
    """The name of a class as the legend spells it, or "ignore"."""
    given = _text(entry, "unlabelled", where) if "unlabelled" in entry else "ignore"
    names = {name.casefold(): name for name in ("ignore", *(c.name for c in legend.classes))}
    if given.casefold() not in names:
        raise DatasetError(
            f"unlabelled of {where} is {given!r}. It is one of {', '.join(names.values())}."
        )
    return names[given.casefold()]


def _labels_map(table: Any, where: str) -> dict[int | str, int]:
    if not isinstance(table, dict) or not _ids(table.values()):
        raise DatasetError(f"labels_map of {where} is not a table of ids or names = 0-255.")
    labels_map: dict[int | str, int] = {}
    for key, value in table.items():
        number = re.fullmatch(r"-?\d+", key, re.ASCII)
        if number and not 0 <= int(key) <= 255:
            raise DatasetError(f"labels_map of {where} has the key {key}, which is outside 0-255.")
        labels_map[int(key) if number else key] = value
    return labels_map


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    text: str = _take(table, key, str, where)
    if not text.strip() or "\0" in text:
        raise DatasetError(f"{key} of {where} is empty or no plain text.")
    return text


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise DatasetError(f"{where} has the unknown key {unknown[0]!r}.")


def _take(table: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = table.get(key)
    if not isinstance(value, kind):
        raise DatasetError(f"{where} needs {key!r} ({kind.__name__}).")
    return value


def _whole_numbers(values: Any) -> bool:
    if not isinstance(values, list):
        return False
    return len(values) > 0 and all(type(value) is int and value > 0 for value in values)


def _ids(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value <= 255 for value in values)

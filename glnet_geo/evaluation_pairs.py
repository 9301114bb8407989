"""Which prediction belongs to which reference."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.class_matching import listed
from glnet_geo.errors import GlnetGeoError
from glnet_geo.outlines import VECTOR_SUFFIXES
from glnet_geo.remote import ScenePath, is_remote, scene_path
from glnet_geo.safety import check_inside, safe_file
from glnet_geo.scene_names import SCENE_SUFFIXES, fold, split_suffix

_RASTERS = (*SCENE_SUFFIXES, ".vrt")
_COLUMNS = ("prediction", "reference")
_LABELS = r"mask|labels?|gt|ground[_-]?truth|truth|ref|reference"
# What data sets and programs add to a scene's name: 119_sat.jpg, 119_mask.png, 119_gt.tif.
_ROLE = re.compile(
    rf"[ ._-]+(sat|image|img|pred|prediction|predicted|landcover|classes|map|{_LABELS})$",
    re.IGNORECASE,
)
_LABEL_ROLE = re.compile(rf"[ ._-]+({_LABELS})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared.

    Attributes:
        prediction: A class raster.
        reference: A class raster or a vector file.
    """

    prediction: ScenePath
    reference: ScenePath


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is compared, and what is not.

    Attributes:
        pairs: At least one.
        unmatched: Files without a partner.
    """

    pairs: tuple[Pair, ...]
    unmatched: tuple[Path, ...] = ()


def find_pairs(prediction: ScenePath, reference: ScenePath | None) -> Pairs:
    """Pairs of two files, of the files in two folders, or of a list of pairs.

    Files in folders, those below them included, belong together where their names are the same
    but for the extension; if none is, where they are the same without what data sets add:
    `119.tif` and `119_mask.png`.

    Args:
        prediction: A class raster, a folder of them, or a CSV with the columns prediction and
            reference whose paths are relative to it.
        reference: A class raster or a vector file, a folder of them, or with a CSV None.

    Raises:
        GlnetGeoError: A folder stands against a file, no names match, or one matches several.
    """
    if reference is None:
        if is_remote(prediction) or Path(prediction).suffix.lower() != ".csv":
            raise GlnetGeoError(
                f"There is no reference for {prediction}. Name one, or give a CSV with the columns "
                "prediction and reference."
            )
        return Pairs(_listed_pairs(Path(prediction)))
    are_folders = [not is_remote(one) and _is_folder(Path(one)) for one in (prediction, reference)]
    if not any(are_folders):
        return Pairs((Pair(prediction, reference),))
    if not all(are_folders):
        folder, file = (prediction, reference) if are_folders[0] else (reference, prediction)
        raise GlnetGeoError(f"{folder} is a folder and {file} is none. Give two of a kind.")
    return _folder_pairs(Path(prediction), Path(reference))


def check_pairs(pairs: Pairs, prediction: ScenePath, reference: ScenePath | None) -> None:
    """Refuses pairs of which a folder's or a list's files lie elsewhere.

    Args:
        pairs: What `find_pairs` made of the others.
        prediction: See `find_pairs`.
        reference: See `find_pairs`.

    Raises:
        GlnetGeoError: See `safety`.
    """
    roots = [
        None if one is None or is_remote(one) else Path(one) if _is_folder(Path(one)) else None
        for one in (prediction, reference)
    ]
    if reference is None:
        roots = [safe_file(prediction).parent] * 2
    for pair in pairs.pairs:
        for path, root in zip((pair.prediction, pair.reference), roots, strict=True):
            if root is not None:
                check_inside(path, root)


def _is_folder(path: Path) -> bool:
    # A file geodatabase is a folder by its nature.
    return path.is_dir() and path.suffix.lower() != ".gdb"


def _folder_pairs(predictions: Path, references: Path) -> Pairs:
    here = _files_in(predictions, _RASTERS)
    there = _files_in(references, (*_RASTERS, *VECTOR_SUFFIXES))
    for folder, files in ((predictions, here), (references, there)):
        if not files:
            raise GlnetGeoError(f"{folder} has no files to compare.")
    there = _without_images(there)
    exact = _match(here, there, role=False)
    rest = [one for one in here if one not in exact]
    left = [one for one in there if one not in exact.values()]
    matched = exact | _match(rest, left, role=True)
    if not matched:
        raise GlnetGeoError(
            f"No name in {predictions} ({_names(here)}) matches one in {references} "
            f"({_names(there)}). Files belong together that have the same name but for the "
            "extension, or for _mask, _labels, _gt."
        )
    pairs = tuple(Pair(one, matched[one]) for one in here if one in matched)
    used = set(matched.values())
    unmatched = [one for one in here if one not in matched] + [x for x in there if x not in used]
    return Pairs(pairs, tuple(unmatched))


def _without_images(files: Sequence[Path]) -> list[Path]:
    """References without the rasters that have a mask beside them: 119_sat.jpg, 119.tif."""
    labelled = {
        name
        for name, group in _by_name(files, role=True).items()
        if any(_LABEL_ROLE.search(_stem(file)) for file in group)
    }
    return [
        file
        for file in files
        if _LABEL_ROLE.search(_stem(file))
        or file.suffix.lower() not in _RASTERS
        or _name(file, role=True) not in labelled
    ]


def _match(here: Sequence[Path], there: Sequence[Path], role: bool) -> dict[Path, Path]:
    """References by prediction.

    Raises:
        GlnetGeoError: Several files have one name.
    """
    ours, theirs = _by_name(here, role), _by_name(there, role)
    shared = [name for name in ours if name in theirs]
    for name in shared:
        for files in (ours[name], theirs[name]):
            if len(files) > 1:
                raise GlnetGeoError(
                    f"{_names(files)} all match {name!r}. Leave one of them in the folder, or give "
                    "a CSV with the columns prediction and reference."
                )
    return {ours[name][0]: theirs[name][0] for name in shared}


def _by_name(files: Sequence[Path], role: bool) -> Mapping[str, list[Path]]:
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_name[_name(file, role)].append(file)
    return by_name


def _name(file: Path, role: bool) -> str:
    """What a file is matched by, with or without its role."""
    return fold(_ROLE.sub("", _stem(file)) if role else _stem(file))


def _stem(file: Path) -> str:
    return split_suffix(file.name, only_scenes=file.suffix.lower() not in VECTOR_SUFFIXES)[0]


def _files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder and those below it, without hidden ones."""
    try:
        found = sorted(folder.rglob("*"))
    except OSError as error:
        raise GlnetGeoError(f"{folder} cannot be read: {error.strerror}.") from error
    return [
        file
        for file in found
        if file.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and (file.is_file() or file.suffix.lower() == ".gdb")
    ]


def _listed_pairs(path: Path) -> tuple[Pair, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise GlnetGeoError(f"{path} needs the columns prediction and reference.")
            rows = [[(row[name] or "").strip() for name in _COLUMNS] for row in reader]
    except FileNotFoundError:
        raise GlnetGeoError(f"{path} does not exist.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise GlnetGeoError(f"{path} cannot be read as a CSV: {error}.") from None
    if not rows:
        raise GlnetGeoError(f"{path} lists no pairs.")
    for number, row in enumerate(rows, 2):
        if not all(row):
            raise GlnetGeoError(f"{path}, line {number}: prediction or reference is empty.")
    return tuple(Pair(*(_placed(path.parent, text) for text in row)) for row in rows)


def _placed(folder: Path, text: str) -> ScenePath:
    path = scene_path(text)
    return folder / path if isinstance(path, Path) else path


def _names(files: Sequence[Path]) -> str:
    return listed([str(file) for file in files])

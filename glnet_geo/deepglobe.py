"""DeepGlobe's own folders and file lists, as its archive and the GLNet repository lay them out.

The land cover challenge (Demir et al. 2018, DeepGlobe 2018: A Challenge to Parse the Earth through
Satellite Images, CVPR Workshops) names an image ID_sat.jpg and its labels ID_mask.png.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.errors import DatasetError

_log = logging.getLogger(__name__)

_IMAGE, _MASK = "_sat.jpg", "_mask.png"
_FOLDERS = {
    "train": "train",
    "crossvali": "val",
    "val": "val",
    "valid": "val",
    "offical_crossvali": "test",
    "test": "test",
}
"""Split by the folder that stands for it; "offical" is how the GLNet repository spells it."""
_LISTS = {
    "train": ("train.txt",),
    "val": ("crossvali.txt", "val.txt", "valid.txt"),
    "test": ("test.txt",),
}
_PAPER = {"train": 455, "val": 207, "test": 142}
"""Images by split, from Chen et al. 2019 (GLNet), section 4.1."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image of DeepGlobe with its labels.

    Attributes:
        image: ID_sat.jpg.
        labels: ID_mask.png, in colours.
        split: "train", "val" or "test".
    """

    image: Path
    labels: Path
    split: str


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder holds: images and masks by id, and splits by id where folders name them."""

    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    splits: Mapping[str, str]

    @property
    def pairs(self) -> list[str]:
        """Ids that have both, sorted."""
        return sorted(set(self.images) & set(self.masks))


def find_images(folder: Path, lists: Mapping[str, Path] | None = None) -> tuple[LabelledImage, ...]:
    """Finds labelled images in a folder of DeepGlobe's land cover challenge, with their splits.

    Images and masks lie in the folder itself, in its Sat and Label, or in the same way in
    subfolders of splits (train, crossvali, offical_crossvali; also val, valid, test). Splits come
    from lists, else from two or more such subfolders with masks, else from a hash of the id, in the
    paper's proportions. Images without a mask are left out, and so is what no list names.

    Args:
        folder: The folder.
        lists: Lists by split, one image a line; None for train.txt, crossvali.txt (or val.txt,
            valid.txt) and test.txt in the folder or beside it, where there are any.

    Raises:
        DatasetError: Folder, pairs, a list or a listed image are missing, or a list is no text.
    """
    if not folder.is_dir():
        raise DatasetError(f"the DeepGlobe folder {folder} does not exist or is no folder.")
    found = _scan(folder)
    if not found.pairs:
        raise DatasetError(
            f"{folder} has no pair of ID{_IMAGE} and ID{_MASK}. Give the folder that DeepGlobe's "
            "land cover archive was unpacked to."
        )
    lists = _find_lists(folder) if lists is None else lists
    splits = _listed(found, lists) if lists else _unlisted(found, folder)
    return tuple(
        LabelledImage(found.images[one], found.masks[one], splits[one])
        for one in found.pairs
        if one in splits
    )


def _scan(folder: Path) -> _Folder:
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    splits: dict[str, str] = {}
    for name, split in {"": "", **_FOLDERS}.items():
        for image in _named(folder / name, ("", "Sat"), _IMAGE):
            key = image.name.removesuffix(_IMAGE)
            if key in images:
                raise DatasetError(f"{image} is there twice; the other is {images[key]}.")
            images[key] = image
            splits[key] = split
        for mask in _named(folder / name, ("", "Label"), _MASK):
            masks[mask.name.removesuffix(_MASK)] = mask
    return _Folder(images, masks, splits)


def _named(folder: Path, names: tuple[str, ...], suffix: str) -> list[Path]:
    """Files by the end of their name, in those of the subfolders that exist."""
    return [path for name in names for path in sorted((folder / name).glob(f"*{suffix}"))]


def _find_lists(folder: Path) -> dict[str, Path]:
    found = {}
    for split, names in _LISTS.items():
        paths = (place / name for place in (folder, folder.absolute().parent) for name in names)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found[split] = path
    return found


def _listed(found: _Folder, lists: Mapping[str, Path]) -> dict[str, str]:
    """Splits by id, as lists say."""
    splits: dict[str, str] = {}
    for split, path in lists.items():
        ids = _read_list(path)
        absent = [one for one in ids if one not in found.images]
        if absent:
            raise DatasetError(
                f"{path} lists {absent[0]}, which has no {absent[0]}{_IMAGE} "
                f"({len(absent)} of {len(ids)} listed images are missing)."
            )
        for one in ids:
            if splits.setdefault(one, split) != split:
                raise DatasetError(f"{path} lists {one}, which is in {splits[one]} already.")
    bare = sum(one not in found.masks for one in splits)
    if bare:
        _log.warning("%d listed images have no mask (ID%s) and are left out.", bare, _MASK)
    spare = len(set(found.pairs) - set(splits))
    if spare:
        _log.info("%d images are in no list and are left out.", spare)
    return splits


def _read_list(path: Path) -> list[str]:
    """Ids out of lines such as `100694_sat.jpg`, `100694` or `Sat/100694_sat.jpg`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DatasetError(f"the list {path} does not exist.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a list of images: {error}.") from None
    stripped = (line.partition("#")[0].strip().replace("\\", "/") for line in lines)
    names = (line.rpartition("/")[2] for line in stripped if line)
    return list(dict.fromkeys(n.removesuffix(_IMAGE).removesuffix(_MASK) for n in names))


def _unlisted(found: _Folder, folder: Path) -> dict[str, str]:
    """Splits by id, out of subfolders or of a hash."""
    bare = len(set(found.images) - set(found.masks))
    if bare:
        _log.info("%d images in %s have no mask (ID%s) and are left out.", bare, folder, _MASK)
    if len({found.splits[one] for one in found.pairs} - {""}) > 1:
        return {one: split for one, split in found.splits.items() if split}
    splits = _drawn(found.pairs)
    counts = Counter(splits.values())
    _log.info(
        "%s has no lists: its %d images are split by a hash of their ids into %s, in the paper's "
        "proportions (%s).",
        folder,
        len(splits),
        ", ".join(f"{counts[split]} {split}" for split in _PAPER),
        " / ".join(map(str, _PAPER.values())),
    )
    return splits


def _drawn(ids: list[str]) -> dict[str, str]:
    """Splits in the paper's proportions; few change theirs when other images come or go."""
    ordered = sorted(ids, key=lambda one: hashlib.sha256(one.encode()).digest())
    splits: dict[str, str] = {}
    start = share = 0
    for split, count in _PAPER.items():
        share += count
        stop = round(len(ordered) * share / sum(_PAPER.values()))
        splits.update(dict.fromkeys(ordered[start:stop], split))
        start = stop
    return splits

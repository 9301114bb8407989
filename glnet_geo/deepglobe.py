"""DeepGlobe's land-cover set as it is downloaded, and as the GLNet repository sorts it.

Demir et al., "DeepGlobe 2018", CVPR workshops 2018: `land-train/ID_sat.jpg` with `ID_mask.png`. The
GLNet repository has folders `train`, `crossvali` and `offical_crossvali` with `Sat` and `Label`, or
lists of names.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from glnet_geo.errors import DatasetError

_LISTS = {"train": ("train",), "val": ("crossvali", "val", "valid"), "test": ("test",)}
_FOLDERS = {"train": "train", "val": "crossvali", "test": "offical_crossvali"}
_PAPER = {"train": 455, "val": 207, "test": 142}  # images of the paper's split (section 4.1)
_log = logging.getLogger(__name__)

Pair = tuple[Path, Path, str]
"""Image, mask and split."""


def deepglobe_pairs(folder: Path, lists: Mapping[str, Path]) -> list[Pair]:
    """Images with their masks and splits.

    Args:
        folder: The folder.
        lists: Files with names of images by split; empty to look for them.

    Raises:
        DatasetError: The folder is missing or has no pairs, or a list names what is not there.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Name that with DeepGlobe's images.")
    if not lists and any((folder / name / "Sat").is_dir() for name in _FOLDERS.values()):
        pairs = list(_sorted_pairs(folder))
    else:
        found = _pairs_in(folder, folder)
        pairs = [(*found[name], split) for name, split in _splits(folder, found, lists)]
    if not pairs:
        raise DatasetError(f"{folder} has no image ID_sat.jpg with a mask ID_mask.png.")
    return pairs


def _sorted_pairs(folder: Path) -> Iterator[Pair]:
    """Of folders that are splits."""
    for split, name in _FOLDERS.items():
        here = folder / name
        if (here / "Sat").is_dir():
            for image, mask in _pairs_in(here / "Sat", here / "Label").values():
                yield image, mask, split


def _pairs_in(images: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
    """Image and mask by number of the image."""
    pairs, missing = {}, 0
    for image in sorted(images.glob("*_sat.*")):
        name = image.name.partition("_sat.")[0]
        mask = masks / f"{name}_mask.png"
        if mask.exists():
            pairs[name] = image, mask
        else:
            missing += 1
    if missing:
        _log.warning("%s: %d images have no mask and are left out.", images, missing)
    return pairs


def _splits(
    folder: Path, found: Mapping[str, tuple[Path, Path]], lists: Mapping[str, Path]
) -> Iterator[tuple[str, str]]:
    """Number and split of each image."""
    lists = lists or dict(_lists_of(folder))
    if not lists:
        _log.info(
            "%s: no lists of names; images are split by a hash of their numbers, as the paper's "
            "in number.",
            folder,
        )
        yield from ((name, _split_by_hash(name)) for name in found)
    for split, path in lists.items():
        names = _names_in(path)
        missing = [name for name in names if name not in found]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DatasetError(
                f"{path} names {missing[0]}{more}, without image or mask in {folder}."
            )
        yield from ((name, split) for name in names)


def _lists_of(folder: Path) -> Iterator[tuple[str, Path]]:
    for split, stems in _LISTS.items():
        places = (where / f"{stem}.txt" for stem in stems for where in (folder, folder.parent))
        path = next(filter(Path.is_file, places), None)
        if path is not None:
            yield split, path


def _names_in(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a list of names: {error}.") from None
    entries = (line.partition("#")[0].strip() for line in lines)
    names = (Path(entry.replace("\\", "/")).name for entry in entries if entry)
    return list(dict.fromkeys(re.split(r"_sat|_mask|\.", name)[0] for name in names))


def _split_by_hash(name: str) -> str:
    """Always the same split for a number, in the paper's proportions."""
    place = (
        int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 * sum(_PAPER.values())
    )
    for split, count in _PAPER.items():
        place -= count
        if place < 0:
            return split
    return "train"

"""A dataset looked at before it is trained on: the whole of `glnet-geo train --check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.datasets import Dataset, LabelledScene
from glnet_geo.errors import GlnetGeoError
from glnet_geo.legend import Legend
from glnet_geo.model_options import resolve_options
from glnet_geo.opening import gdal_environment
from glnet_geo.outputs import check_output, write_whole
from glnet_geo.quicklook import Panel, contact_sheet, png_bytes
from glnet_geo.scene_check import CheckedScene, check_scene
from glnet_geo.split_leaks import images_twice, leaks
from glnet_geo.splits import SPLITS

_MOST_ROWS = 24  # of the sheet
_A_SCENE = 3  # at most
_SAME_GSD = 2.0  # factor


@dataclass(frozen=True, slots=True, eq=False)
class DatasetCheck:
    """What was found.

    Attributes:
        name: The dataset's name.
        legend: The classes.
        scenes: Those that could be opened.
        errors: What makes training fail or deceive.
        warnings: What may be meant so.
        sheet: The picture of samples; None where there was nothing to show.
    """

    name: str
    legend: Legend
    scenes: tuple[CheckedScene, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    sheet: Path | None

    @property
    def exit_code(self) -> int:
        """0, or 1 with errors."""
        return int(bool(self.errors))

    def pixels(self, split: str) -> npt.NDArray[np.int64]:
        """Labelled pixels of each class in a split, K."""
        total = np.zeros(len(self.legend), np.int64)
        for one in self.scenes:
            if one.scene.split == split:
                total += one.pixels
        return total

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = [one.name for one in self.legend.classes]
        return {
            "name": self.name,
            "scenes": [one.to_dict(self.legend) for one in self.scenes],
            "pixels": {
                split: dict(zip(names, self.pixels(split).tolist(), strict=True))
                for split in SPLITS
            },
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "sheet": None if self.sheet is None else str(self.sheet),
        }


def check_dataset(
    dataset: Dataset,
    sheet: Path,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetCheck:
    """Looks at every scene of a dataset, and at all of them together.

    Args:
        dataset: The dataset.
        sheet: Picture of samples with their labels to write.
        overwrite: Whether an existing one may be replaced.
        report: Told the scenes done and all scenes.

    Raises:
        GlnetGeoError: The sheet cannot be written. What is wrong with scenes is part of the result.
    """
    check_output(sheet, overwrite, dataset.files)
    options = resolve_options(dataset.model)
    count = len(dataset.scenes)
    each = max(min(_A_SCENE, _MOST_ROWS // count), 1)
    scenes: list[CheckedScene] = []
    rows: list[list[Panel]] = []
    errors: list[str] = []
    unread: set[str] = set()  # splits
    seen: set[Path] = set()
    with gdal_environment():
        for index, scene in enumerate(_spread(dataset)):
            report(index, count)
            samples = each if len(rows) < _MOST_ROWS else 0
            try:
                found, panels = check_scene(
                    scene,
                    dataset.legend,
                    dataset.n_bands,
                    options.frame,
                    samples,
                    is_new=scene.image not in seen,
                )
            except GlnetGeoError as error:
                errors += [str(error), *_missing(scene)]
                unread.add(scene.split)
                continue
            seen.add(scene.image)
            if found.unknown:
                unread.add(scene.split)
            scenes.append(found)
            rows += panels
        report(count, count)
    errors += [text for one in scenes for text in one.errors]
    warnings = [text for one in scenes for text in one.warnings]
    errors += [*images_twice(dataset.scenes), *leaks(scenes)]
    warnings += [*_resolutions(scenes, options.gsd)]
    if not dataset.split("val"):
        warnings.append('No scene has split = "val": the model will not be scored.')
    check = DatasetCheck(dataset.name, dataset.legend, tuple(scenes), (), (), None)
    # Nobody knows what a scene that cannot be read holds, or what its unknown values mean.
    unlearnable, missing = _absent(check, frozenset(SPLITS) - unread)
    errors += unlearnable
    warnings += missing
    if rows:
        write_whole(sheet, png_bytes(contact_sheet(rows, dataset.legend)))
    return replace(
        check,
        errors=tuple(dict.fromkeys(errors)),
        warnings=tuple(dict.fromkeys(warnings)),
        sheet=sheet if rows else None,
    )


def _spread(dataset: Dataset) -> Iterator[LabelledScene]:
    """The scenes, splits in turn, so that a sheet that is full shows some of each."""
    waiting = [list(dataset.split(split)) for split in SPLITS]
    while any(waiting):
        for scenes in waiting:
            if scenes:
                yield scenes.pop(0)


def _missing(scene: LabelledScene) -> Iterator[str]:
    """Files that are not there; the first one hides the others."""
    for path in (scene.image, scene.labels, scene.aoi):
        if path is not None and not path.exists():
            yield f"{path} does not exist."


def _resolutions(scenes: Sequence[CheckedScene], gsd: float | None) -> Iterator[str]:
    """Scenes whose pixels are of another size than is expected."""
    known = [one.gsd for one in scenes if one.gsd is not None]
    typical = gsd or (float(np.median(known)) if known else None)
    for one in scenes:
        if one.gsd is None:
            if gsd is not None:
                yield (
                    f"{one.scene.image} has no resolution: its pixels are taken as {gsd:g} m. "
                    "Set its gsd."
                )
        elif typical is not None and not 1 / _SAME_GSD <= one.gsd / typical <= _SAME_GSD:
            yield f"{one.scene.image} has {one.gsd:.3g} m pixels, where {typical:.3g} m are usual."


def _absent(check: DatasetCheck, read: frozenset[str]) -> tuple[list[str], list[str]]:
    """Classes that train or val lacks.

    Args:
        check: The scenes.
        read: Splits of which every scene could be read.

    Returns:
        Errors: those that are scored and cannot be learned; and warnings.
    """
    pixels = {split: check.pixels(split) for split in SPLITS}
    is_scored = pixels["val"].any() and "val" in read
    errors, warnings = [], []
    for position in check.legend.counted:
        name = check.legend.classes[position].name
        scored = [split for split in ("val", "test") if pixels[split][position]]
        if pixels["train"][position]:
            if is_scored and not pixels["val"][position]:
                warnings.append(f"The class {name!r} is nowhere in val: it will not be scored.")
        elif "train" not in read:
            continue
        elif scored:
            errors.append(
                f"The class {name!r} is nowhere in train, but in {' and '.join(scored)}: it cannot "
                "be learned, and all of it is scored as wrong."
            )
        else:
            warnings.append(f"The class {name!r} is nowhere in train: it cannot be learned.")
    return errors, warnings

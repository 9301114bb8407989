"""Whether the borders of frames and patches show in a map, and which blending scores best.

    python benchmarks/seams.py models/zoo/dubai-urban.toml --data FOLDER [--split val]

Maps the labelled scenes of a dataset with the bundled model, with every combination of how logits
are enlarged and how frames and patches are joined: "weights" (tents that add up to 1), "sum" (all
count the same, as in the reference) and "crop" (each ends in the middle of the overlap). Prints
mean IoU, and how often neighbouring pixels differ across a border against anywhere else: borders of
frames, of patches, and the middles of their overlaps. 1.0 is a border that does not show. The
networks run once for each frame; only what follows them differs. Exits with 1 where the default's
ratio is above 1.10.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

from glnet_geo import blending, segmenter
from glnet_geo.blending import StripFiles
from glnet_geo.checkpoint import read_model
from glnet_geo.datasets import LabelledScene, load_dataset
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.grid import Window
from glnet_geo.legend import NODATA
from glnet_geo.mapping import map_scene
from glnet_geo.metrics import ConfusionMatrix
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import SceneReader
from glnet_geo.sampling import OpenScene
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.tiling import FramePlan, PatchLayout

LIMIT = 1.10
ENLARGING = ("bilinear", "nearest")
JOINING = ("weights", "sum", "crop")
DEFAULT = ("bilinear", "weights")


def crop_weights(starts: Sequence[int], size: int, length: int) -> tuple[np.ndarray, ...]:
    """1 up to the middle of the overlaps, else 0."""
    cuts = [0, *((left + size + right) // 2 for left, right in pairwise(starts)), length]
    position = np.arange(size)
    return tuple(
        ((position + start >= first) & (position + start < end)).astype(np.float32)
        for start, (first, end) in zip(starts, pairwise(cuts), strict=True)
    )


def sum_weights(starts: Sequence[int], size: int, length: int) -> tuple[np.ndarray, ...]:
    """1 everywhere."""
    return (np.ones(size, np.float32),) * len(starts)


WEIGHTS = {"weights": blending.blend_weights, "sum": sum_weights, "crop": crop_weights}


def borders(starts: Sequence[int], size: int, length: int) -> list[int]:
    """Where pieces along an axis begin, end, and meet in the middle of their overlaps."""
    middles = [(left + size + right) // 2 for left, right in pairwise(starts)]
    edges = {*starts, *(start + size for start in starts), *middles}
    return sorted(edges - {0, length})


class Lines:
    """Which pairs of neighbouring pixels lie on the two sides of a border."""

    def __init__(self, height: int, width: int) -> None:
        self.across_rows = np.zeros((height - 1, width), bool)
        self.across_columns = np.zeros((height, width - 1), bool)

    def add(self, window: Window, rows: Sequence[int], columns: Sequence[int]) -> None:
        """Marks borders that run through a window, given in its coordinates."""
        top, left = window.top, window.left
        for row in rows:
            self.across_rows[top + row - 1, left : window.right] = True
        for column in columns:
            self.across_columns[top : window.bottom, left + column - 1] = True

    def ratio(self, labels: np.ndarray) -> float:
        """How often labels differ across the borders, against elsewhere."""
        on, off = [], []
        for marked, differ in (
            (self.across_rows, labels[1:] != labels[:-1]),
            (self.across_columns, labels[:, 1:] != labels[:, :-1]),
        ):
            on.append(differ[marked])
            off.append(differ[~marked])
        return float(np.concatenate(on).mean() / np.concatenate(off).mean())


def frame_lines(plan: FramePlan) -> Lines:
    """Borders of frames."""
    rows, columns = plan.rows, plan.columns
    lines = Lines(rows.length, columns.length)
    lines.add(
        Window(0, 0, rows.length, columns.length),
        borders(rows.starts, rows.size, rows.length),
        borders(columns.starts, columns.size, columns.length),
    )
    return lines


def patch_lines(plan: FramePlan, patch_size: int) -> Lines:
    """Borders of the patches of all frames."""
    rows, columns = plan.rows, plan.columns
    lines = Lines(rows.length, columns.length)
    layout = PatchLayout.cover(rows.size, columns.size, patch_size)
    for frame in plan:
        lines.add(
            frame.read,
            borders(layout.tops, patch_size, layout.height),
            borders(layout.lefts, patch_size, layout.width),
        )
    return lines


class Kept:
    """A map in memory."""

    def __init__(self, height: int, width: int) -> None:
        self.labels = np.zeros((height, width), np.uint8)

    @contextmanager
    def part(self, index: int, rows: Window) -> Iterator[Kept]:
        """Takes some rows."""
        yield self

    def write(self, labels: np.ndarray, window: Window) -> None:
        """Takes a window."""
        self.labels[window.slices] = labels


class Networks:
    """The networks' answers, kept from the first run on."""

    def __init__(self, model: GLNetSegmenter) -> None:
        self._kept: list = []
        self._position = 0
        self._segment = model._net.segment

    def rewind(self) -> None:
        """Begins the scene again."""
        self._position = 0

    def __call__(self, *arguments):
        """`InferenceNet.segment`, once for each frame."""
        if self._position == len(self._kept):
            self._kept.append(self._segment(*arguments))
        self._position += 1
        return self._kept[self._position - 1]


def predicted(scene: LabelledScene, model: GLNetSegmenter) -> np.ndarray:
    """The map of a scene."""
    open_scene = partial(SceneReader, scene.image, scene.bands, model.n_bands)
    with open_scene() as reader:
        grid, stretch = reader.grid, find_stretch(reader)
    kept = Kept(grid.height, grid.width)
    source = FrameSource(open_scene, Footing.of_scene(grid), stretch)
    with TemporaryDirectory() as folder:
        map_scene(source, model, kept, StripFiles(Path(folder)))
    return kept.labels


def true_classes(scene: LabelledScene, model: GLNetSegmenter) -> np.ndarray:
    """The labels of a scene as class ids; nodata where they are ignored."""
    ids = np.full(256, NODATA, np.uint8)
    ids[: len(model.legend)] = model.legend.ids
    with OpenScene(scene, model.legend, model.n_bands) as labels:
        return ids[labels.read_positions(labels.grid.window)]


def combinations(scene: LabelledScene, model: GLNetSegmenter) -> Iterator[tuple]:
    """Each way of enlarging and joining, and the map that it gives."""
    networks = Networks(model)
    for enlarging, joining in product(ENLARGING, JOINING):
        networks.rewind()

        def enlarge(_, logits, height, width, mode=enlarging):
            return F.interpolate(logits, (height, width), mode=mode)[0]

        with (
            mock.patch.object(model._net, "segment", networks),
            mock.patch.object(segmenter, "blend_weights", WEIGHTS[joining]),
            mock.patch.object(blending, "blend_weights", WEIGHTS[joining]),
            mock.patch.object(GLNetSegmenter, "_enlarge", enlarge),
        ):
            yield (enlarging, joining), predicted(scene, model)


def main() -> None:
    """Prints a row for each combination and scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    net, card = read_model(find_model(options.model))
    model = GLNetSegmenter(net, card, torch.device("cpu"))
    passed = True
    print(f"{'scene':<16}{'logits':<10}{'joined by':<10}{'mean IoU':>9}{'frames':>9}{'patches':>9}")
    for scene in load_dataset(options.dataset, options.data).split(options.split):
        truth = true_classes(scene, model)
        plan = model.frames(*truth.shape)
        lines = frame_lines(plan), patch_lines(plan, card.patch_size)
        for combination, labels in combinations(scene, model):
            score = ConfusionMatrix(card.legend).add(truth, labels).scores().mean_iou
            ratios = [one.ratio(labels) for one in lines]
            words = f"{scene.image.name:<16}{combination[0]:<10}{combination[1]:<10}"
            print(f"{words}{score:9.4f}{ratios[0]:9.2f}{ratios[1]:9.2f}", flush=True)
            passed &= combination != DEFAULT or max(ratios) <= LIMIT
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

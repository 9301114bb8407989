"""How good networks are on held-out scenes, during training and after it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from glnet_geo.blending import FrameScores, StripFiles, best_class
from glnet_geo.calibration import ScoredPixels
from glnet_geo.checkpoint import ModelCard
from glnet_geo.datasets import LabelledScene
from glnet_geo.frame_source import FrameSource
from glnet_geo.grid import Grid, Window
from glnet_geo.labelled_scene import OpenScene, Sample, ScenePool
from glnet_geo.legend import IGNORED, NODATA, Legend
from glnet_geo.map_options import MapOptions
from glnet_geo.mapping import map_scene
from glnet_geo.metrics import ConfusionMatrix, Scores
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import Chip, SceneReader
from glnet_geo.sampling import STILL, FrameSampler
from glnet_geo.segmenter import GLNetSegmenter

Labels = npt.NDArray[np.uint8]

_MOST_FRAMES = 8
_FEWEST_FRAMES = 2
_FRAME_PIXELS = 50_000  # of a frame to which the temperature is fitted


class Validation:
    """Scores networks in training on a few frames of held-out scenes, always the same ones.

    Args:
        scenes: The scenes.
        card: The card of the networks.
        device: Where they are.
        dtype: What they compute in.

    Attributes:
        count: How many frames.
        share: Of the pixels of the scenes that the frames make up, as if none overlapped.
    """

    def __init__(
        self,
        scenes: ScenePool,
        card: ModelCard,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._sampler = FrameSampler(scenes, card.frame, STILL, gsd=card.gsd)
        self._card, self._device, self._dtype = card, device, dtype
        frames = self._sampler.pixels / card.frame**2
        self.count = min(max(math.ceil(frames), _FEWEST_FRAMES), _MOST_FRAMES)
        self.share = self.count / frames

    def scores(self, net: GLNet, form: Form) -> Scores:
        """Scores of the networks in a form."""
        matrix = ConfusionMatrix(self._card.legend)
        for sample, predicted in self.predicted(net, form):
            matrix.add(self.ids(sample.target), predicted)
        return matrix.scores()

    def predicted(self, net: GLNet, form: Form) -> Iterator[tuple[Sample, Labels]]:
        """The frames, and the class ids that the networks give them, H x W."""
        for sample, bands in self._scored(net, form):
            best = [best_class(scores) for scores in bands]
            yield sample, self._card.legend.ids[np.concatenate(best)]

    def pixels(self, net: GLNet, form: Form) -> ScoredPixels:
        """What the networks say of some labelled pixels of the frames, always the same ones."""
        counted = np.array(self._card.legend.counted)
        parts = []
        for index, (sample, bands) in enumerate(self._scored(net, form)):
            labelled = np.flatnonzero(np.isin(sample.target, counted))
            rng = np.random.default_rng(index)
            some = rng.choice(labelled, min(_FRAME_PIXELS, len(labelled)), replace=False)
            scores = np.concatenate(list(bands), 1).reshape(len(self._card.legend), -1)
            positions = np.searchsorted(counted, sample.target.ravel()[some]).astype(np.uint8)
            parts.append(ScoredPixels(scores[counted][:, some].T, positions))
        return ScoredPixels.join(parts)

    def _scored(self, net: GLNet, form: Form) -> Iterator[tuple[Sample, Iterator[FrameScores]]]:
        """The frames, and what the networks say of them, in bands of K x n x W."""
        card = replace(self._card, architecture=replace(self._card.architecture, form=form))
        segmenter = GLNetSegmenter(net.in_form(form), card, self._device, dtype=self._dtype)
        for index in range(self.count):
            sample = self._sampler.draw(np.random.default_rng(index), card.frame)
            side = sample.target.shape[0]
            chip = Chip(sample.pixels, np.ones((side, side), np.bool_), Grid(side, side))
            yield sample, segmenter(chip)

    def ids(self, positions: Labels) -> Labels:
        """Class ids of positions in the legend; `NODATA` where they are ignored."""
        return ids_of(self._card.legend)[positions]


def ids_of(legend: Legend) -> Labels:
    """Class ids by position; ignored labels become nodata, which no legend counts."""
    ids = np.full(IGNORED + 1, NODATA, np.uint8)
    ids[: len(legend)] = legend.ids
    return ids


def score_scenes(
    scenes: Sequence[LabelledScene], segmenter: GLNetSegmenter, card: ModelCard
) -> Scores:
    """Predicts labelled scenes, whole and as `predict` does, and scores all of them together."""
    matrix = ConfusionMatrix(segmenter.legend)
    for scene in scenes:
        score_scene(scene, segmenter, card, matrix)
    return matrix.scores()


def score_scene(
    scene: LabelledScene, segmenter: GLNetSegmenter, card: ModelCard, matrix: ConfusionMatrix
) -> None:
    """Predicts a labelled scene as `predict` does, and adds its pixels to a confusion matrix."""
    options = MapOptions(gsd=scene.gsd)
    open_image = partial(SceneReader, scene.image, scene.bands, segmenter.n_bands)
    with OpenScene(scene, segmenter.legend, segmenter.n_bands) as labels, open_image() as image:
        footing = options.footing(image.grid, scene.image, card)
        source = FrameSource(open_image, footing, find_stretch(image), stage=segmenter.stage)
        with TemporaryDirectory() as folder:
            scoring = _Scoring(labels, segmenter.legend, matrix)
            map_scene(source, segmenter, scoring, StripFiles(Path(folder)))


class _Scoring:
    """Compares a map with its labels as it is made."""

    def __init__(self, labels: OpenScene, legend: Legend, matrix: ConfusionMatrix) -> None:
        self._labels = labels
        self._matrix = matrix
        self._ids = ids_of(legend)

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[Self]:
        yield self

    def write(self, predicted: Labels, window: Window) -> None:
        reference = self._ids[self._labels.read_positions(window)]
        reference[predicted == NODATA] = NODATA
        self._matrix.add(reference, predicted)

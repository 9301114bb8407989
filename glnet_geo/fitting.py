"""From a dataset file to a scored model file: the whole of `glnet-geo train`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glnet_geo.blending import StripFiles
from glnet_geo.checkpoint import ModelCard, round_weights, save_model
from glnet_geo.datasets import Dataset, LabelledScene, load_dataset
from glnet_geo.devices import choose_device
from glnet_geo.errors import DatasetError
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.grid import Window
from glnet_geo.importing import starting_network
from glnet_geo.legend import NODATA, Legend
from glnet_geo.mapping import map_scene
from glnet_geo.metrics import ConfusionMatrix, Scores
from glnet_geo.models.fpn import DecoderWidths
from glnet_geo.models.glnet import Architecture, GLNet
from glnet_geo.outputs import check_output, working_folder
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import SceneReader, gdal_environment
from glnet_geo.sampling import FrameSampler, OpenScene
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.tiling import PatchLayout
from glnet_geo.training import FrameGeometry, Progress, Schedule, TrainingRun

DEFAULT_ITERATIONS = (150, 300, 50)
"""Steps of the three stages that made the bundled model."""

_MOST_NAMED = 8  # scenes that a card names one by one
_FRAME_OVERLAP = 128  # pixels that neighbouring frames of a scene share at least
_STATE = "state"  # name of the file from which a run resumes
_BAND_NAMES = ("red", "green", "blue")
_CACHE_MB = 768  # training reads the same few scenes over and over

# What the public ImageNet weights of each backbone were trained on, as parts of 255.
_SCALING = {
    "efficientnet_lite0": (127 / 255, 128 / 255),
    # The GLNet reference feeds plain RGB / 255 to its ResNet-50.
    "resnet50": (0.0, 1.0),
}
_log = logging.getLogger(__name__)


def fit(
    dataset_file: Path,
    output: Path,
    *,
    iterations: tuple[int, int, int] = DEFAULT_ITERATIONS,
    seed: int = 0,
    data: Path | None = None,
    licence: str = "not stated",
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ModelCard:
    """Trains a model through all three stages, scores it on held-out scenes and writes it.

    A run that is interrupted keeps its state in a dotted folder beside the output, from which
    `resume` continues.

    Args:
        dataset_file: The dataset file (TOML).
        output: The model file.
        iterations: Steps of the three stages.
        seed: Seed of sampling and of fresh weights.
        data: What the dataset file's relative paths start from; None for its own folder.
        licence: Licence of the weights, for the card.
        device: "auto", "cpu", "cuda" and so on.
        overwrite: Whether an existing output may be replaced.
        resume: Whether to continue an interrupted run.
        report: Told of every step.

    Returns:
        The card of the model.

    Raises:
        GlnetGeoError: Something about the dataset, the device, the state or the output.
    """
    dataset = load_dataset(dataset_file, data)
    sources = [path for scene in dataset.scenes for path in (scene.image, scene.labels)]
    check_output(output, overwrite, (dataset_file, *sources), can_resume=True)
    place = choose_device(device)
    options = dataset.options
    make_schedule = Schedule.reference if options.preset == "reference" else Schedule
    schedule = make_schedule(iterations, seed=seed)
    net, card = _new_model(dataset, output.name.removesuffix(".safetensors"), licence, schedule)
    layout = PatchLayout.cover(options.frame, options.frame, options.patch_size)
    keeps = working_folder(output, resume, lambda folder: (folder / _STATE).exists())
    with gdal_environment(_CACHE_MB), keeps as folder, ExitStack() as stack:
        scenes = _open_all(dataset, len(card.bands), stack)
        sampler = FrameSampler(scenes, options.frame, schedule.augmentation)
        run = TrainingRun(
            net.to_channels_last(place),
            sampler,
            FrameGeometry(layout, options.global_size),
            schedule,
            folder / _STATE,
            _identity(dataset, card),
        )
        if resume and not run.resume():
            _log.warning("There is nothing to resume for %s. Starting afresh.", output)
        run.run(report)
        # Scored is what the file will hold.
        round_weights(net)
        card = _scored(GLNetSegmenter(net, card, place), card, dataset)
        save_model(net, card, output, half=True)
    return card


def _named(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} scenes"


def _new_model(
    dataset: Dataset, name: str, licence: str, schedule: Schedule
) -> tuple[GLNet, ModelCard]:
    options = dataset.options
    if options.backbone not in _SCALING:
        known = ", ".join(_SCALING)
        raise DatasetError(f"There is no backbone {options.backbone!r}. Known: {known}.")
    n_bands = len(next(iter(dataset.split("train"))).bands or _BAND_NAMES)
    mean, std = _SCALING[options.backbone]
    architecture = Architecture(
        options.backbone,
        len(dataset.legend),
        widths=DecoderWidths(*options.widths, options.activated),
        mean=(mean,) * n_bands,
        std=(std,) * n_bands,
    )
    bands = _BAND_NAMES if n_bands == 3 else tuple(f"band {k + 1}" for k in range(n_bands))
    card = ModelCard(
        name,
        "1.0",
        dataset.legend,
        bands,
        architecture,
        options.frame,
        options.global_size,
        options.patch_size,
        min(_FRAME_OVERLAP, options.frame // 4),
        options.gsd,
        "",
        licence,
    )
    net, start = starting_network(architecture, schedule.seed)
    _log.info("Starting from %s.", start)
    images = _named([scene.image.name for scene in dataset.split("train")])
    iterations = "/".join(map(str, schedule.iterations))
    provenance = (
        f"trained by glnet-geo train on {dataset.name} ({images}), starting from {start}; "
        f"{iterations} iterations in the three stages, seed {schedule.seed}"
    )
    return net, replace(card, provenance=provenance)


def _identity(dataset: Dataset, card: ModelCard) -> dict[str, Any]:
    """What a kept state must have in common with a run that resumes it."""
    scenes = [
        {**asdict(scene), "image": scene.image.resolve(), "labels": scene.labels.resolve()}
        for scene in dataset.scenes
    ]
    return {"scenes": str(scenes), "card": card.to_dict()}


def _open_all(dataset: Dataset, n_bands: int, stack: ExitStack) -> list[OpenScene]:
    """Opens the training scenes until the stack closes, and tries what the scores will need.

    Training takes hours; a held-out scene that cannot be read must be known before.
    """
    for scene in dataset.split("val"):
        OpenScene(scene, dataset.legend, n_bands).close()
    opened = (OpenScene(scene, dataset.legend, n_bands) for scene in dataset.split("train"))
    return [stack.enter_context(scene) for scene in opened]


def _scored(segmenter: GLNetSegmenter, card: ModelCard, dataset: Dataset) -> ModelCard:
    """The card with scores on the held-out scenes."""
    held_out = dataset.split("val")
    if not held_out:
        return card
    images = _named([scene.image.name for scene in held_out])
    scores = score_scenes(held_out, segmenter).to_dict()
    return replace(card, scores={"held_out": images, **scores})


def score_scenes(scenes: Sequence[LabelledScene], segmenter: GLNetSegmenter) -> Scores:
    """Predicts labelled scenes and scores all of them together."""
    matrix = ConfusionMatrix(segmenter.legend)
    for scene in scenes:
        _score_scene(scene, segmenter, matrix)
    return matrix.scores()


def _score_scene(scene: LabelledScene, segmenter: GLNetSegmenter, matrix: ConfusionMatrix) -> None:
    open_image = partial(SceneReader, scene.image, scene.bands, segmenter.n_bands)
    with OpenScene(scene, segmenter.legend, segmenter.n_bands) as labels, open_image() as image:
        footing, stretch = Footing.of_scene(image.grid), find_stretch(image)
        source = FrameSource(open_image, footing, stretch, stage=segmenter.stage)
        with TemporaryDirectory() as folder:
            scoring = _Scoring(labels, segmenter.legend, matrix)
            map_scene(source, segmenter, scoring, StripFiles(Path(folder)))


class _Scoring:
    """Compares a map with its labels as it is made."""

    def __init__(self, labels: OpenScene, legend: Legend, matrix: ConfusionMatrix) -> None:
        self._labels = labels
        self._matrix = matrix
        # Ignored labels become nodata, which no legend counts.
        self._ids = np.full(256, NODATA, np.uint8)
        self._ids[: len(legend)] = legend.ids

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[Self]:
        yield self

    def write(self, predicted: npt.NDArray[np.uint8], window: Window) -> None:
        reference = self._ids[self._labels.read_positions(window)]
        reference[predicted == NODATA] = NODATA
        self._matrix.add(reference, predicted)

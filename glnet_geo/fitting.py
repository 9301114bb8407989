"""From a dataset file to a scored model file: the whole of `glnet-geo train`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from glnet_geo.allocation import reuse_memory
from glnet_geo.calibration import Calibration
from glnet_geo.checkpoint import HISTOGRAM_BINS, ModelCard, round_weights, save_model
from glnet_geo.datasets import Dataset, load_dataset
from glnet_geo.devices import choose_device, choose_dtype
from glnet_geo.errors import TrainingError
from glnet_geo.labelled_scene import ScenePool
from glnet_geo.legend import Legend
from glnet_geo.map_summary import peak_bytes
from glnet_geo.metrics import Scores
from glnet_geo.model_options import resolve_options
from glnet_geo.models.glnet import Form
from glnet_geo.models.stages import stages_of
from glnet_geo.modelzoo import find_model
from glnet_geo.new_models import NewModel, derived_model, new_model
from glnet_geo.opening import gdal_environment
from glnet_geo.outputs import check_output, working_folder
from glnet_geo.sampling import FrameSampler
from glnet_geo.schedule import Balance, Schedule, Three
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.stage_trainer import FrameGeometry
from glnet_geo.tiling import PatchLayout
from glnet_geo.time_budget import plan_steps, time_steps
from glnet_geo.training import Course, Progress, TrainingRun
from glnet_geo.training_options import TrainingOptions
from glnet_geo.training_report import TrainingReport, report_folder
from glnet_geo.validation import Validation, score_scenes

_MOST_NAMED = 8  # scenes that a card names one by one
_STATE = "state"  # name of the file from which a run resumes
_CACHE_MB = 512  # of blocks: for each window that is not in it, a JPEG is decoded from the top
_DEFAULTS = TrainingOptions()
_FOLDS = 2  # of scenes: more make better twins, each of which costs a stage 1
_EPOCH_STEPS = 20  # at least: an epoch of a single scene would be a step or two

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Training:
    """A finished training run.

    Attributes:
        output: The model file.
        card: Its card.
        report: The folder with metrics, curves and pictures of the run.
        iterations: Steps of the three stages, as planned.
        seconds: What it took, breaks left out.
        peak_bytes: Most memory that the process held; None where the system does not say.
    """

    output: Path
    card: ModelCard
    report: Path
    iterations: Three
    seconds: float
    peak_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "output": str(self.output),
            "model": f"{self.card.name} {self.card.version}",
            "report": str(self.report),
            "iterations": list(self.iterations),
            "seconds": round(self.seconds, 1),
            "peak_bytes": self.peak_bytes,
            "scores": dict(self.card.scores),
        }


def fit(
    dataset_file: Path | str,
    output: Path | str,
    options: TrainingOptions = _DEFAULTS,
    *,
    data: Path | str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Training:
    """Trains a model through all three stages, scores it on held-out scenes and writes it.

    A run that is interrupted keeps its state in a dotted folder beside the output, from which
    `resume` continues. Metrics, curves and pictures of held-out frames go to a folder named like
    the output with the ending `.train`.

    Args:
        dataset_file: The dataset file (TOML).
        output: The model file.
        options: What is asked for.
        data: What the dataset file's relative paths start from; None for its own folder.
        device: "auto", "cpu", "cuda" and so on.
        overwrite: Whether an existing output may be replaced.
        resume: Whether to continue an interrupted run.
        report: Told of every step.

    Raises:
        GlnetGeoError: Something about the dataset, the device, the state or the output.
    """
    started = time.monotonic()
    reuse_memory()
    dataset_file, output = Path(dataset_file), Path(output)
    dataset = load_dataset(dataset_file, None if data is None else Path(data))
    check_output(output, overwrite, (dataset_file, *dataset.files), can_resume=True)
    place = choose_device(device)
    model = _starting_model(dataset, output, options)
    keeps = working_folder(output, resume, lambda folder: (folder / _STATE).exists())
    with gdal_environment(_CACHE_MB), keeps as folder, ExitStack() as stack:
        schedule = options.schedule_for(model.options)
        job = _Job(dataset, model, schedule, place, report_folder(output), stack)
        identity = {**job.identity(), **options.identity()}
        run = TrainingRun(model.net, job.course, folder / _STATE, identity)
        if not (resume and run.resume()):
            if resume:
                _log.warning("There is nothing to resume for %s. Starting afresh.", output)
            run.start(job.plan(options, started))
        _log.info("Steps of the three stages: %s.", "/".join(map(str, run.plan)))
        with closing(job.report):
            job.report.begin(run.rows)
            run.run(report)
        net = model.net.in_form(job.form)
        # Scored is what the file will hold.
        round_weights(net)
        card = job.finished_card(run.plan, options.licence)
        save_model(net, card, output, half=True)
    return Training(output, card, job.report.folder, run.plan, run.seconds, peak_bytes())


def _starting_model(dataset: Dataset, output: Path, options: TrainingOptions) -> NewModel:
    name, seed = output.name.removesuffix(".safetensors"), options.schedule.get("seed", 0)
    given = {**dataset.model, **options.model}
    if options.init is not None:
        return derived_model(find_model(options.init), name, dataset.legend, given, seed)
    return new_model(name, dataset.legend, dataset.n_bands, resolve_options(given), seed)


class _Job:
    """What a run consists of.

    Args:
        dataset: The scenes.
        model: What training begins with.
        schedule: How the stages learn.
        device: Where.
        report_to: Folder for metrics and pictures.
        stack: What closes the scenes.
    """

    def __init__(
        self,
        dataset: Dataset,
        model: NewModel,
        schedule: Schedule,
        device: torch.device,
        report_to: Path,
        stack: ExitStack,
    ) -> None:
        self._dataset, self._model, self._schedule = dataset, model, schedule
        self._net = model.net.to_channels_last(device)
        self._device = device
        self._dtype = choose_dtype(schedule.precision, device, reference=False)
        card, options = model.card, model.options
        self.form = Form(options.form)
        # Training takes hours; a held-out scene that cannot be read must be known before.
        train, held_out = (self._pool(split, stack) for split in ("train", "val"))
        sampler = FrameSampler(
            train, card.frame, schedule.augmentation, gsd=card.gsd, rare=schedule.rare
        )
        self._validation: Validation | None = None
        if len(held_out):
            self._validation = Validation(held_out, card, device, self._dtype)
        if schedule.cross_fit and self.form is not Form.GLOBAL and len(train) > 1:
            self._net.add_twins(_FOLDS)
        self.report = TrainingReport(report_to, card.legend, self._net, self._validation)
        layout = PatchLayout.cover(card.frame, card.frame, options.patch_size)
        self.course = Course(
            sampler,
            FrameGeometry(layout, options.global_size),
            schedule,
            _epochs(sampler.pixels, card.frame, schedule),
            stages_of(self.form),
            _class_weights(schedule, card.legend, sampler.class_pixels),
            model.ready,
            model.new_classes,
            self._validate if self._validation else None,
            self.report.stage_ended,
            self.report.row_added,
        )

    def identity(self) -> dict[str, Any]:
        """What a kept state must have in common with a run that resumes it."""
        # Wherever the command is given, the files are the same.
        scenes = [
            replace(
                scene,
                image=scene.image.resolve(),
                labels=scene.labels.resolve(),
                aoi=scene.aoi and scene.aoi.resolve(),
            )
            for scene in self._dataset.scenes
        ]
        return {"scenes": repr(scenes), "card": self._model.card.to_dict()}

    def plan(self, options: TrainingOptions, started: float) -> Three:
        """Steps of the three stages: as asked for, or by trying out what they take; 0 if left out.

        Args:
            options: What is asked for.
            started: When the time there is began.
        """
        stages = self.course.stages
        if options.fixed_iterations is not None:
            steps = options.fixed_iterations[: len(stages)]
            if min(steps) < 1:
                raise TrainingError(f"Each stage takes at least one step, got {steps}.")
            first, second, third = (*steps, 0, 0)[:3]
            return first, second, third
        assert options.time_budget_s is not None
        step_s = time_steps(self._net, self.course)
        later = 0.0
        if self._validation is not None:
            before = time.monotonic()
            self._validate(self.form)
            each = time.monotonic() - before
            later = each * (len(stages) * (self._schedule.validations + 1) + 1)
            later += each / self._validation.share
        return plan_steps(options.time_budget_s, time.monotonic() - started + later, step_s)

    def finished_card(self, plan: Three, licence: str) -> ModelCard:
        """The card, with scores on the held-out scenes, whole."""
        card, held_out = self._model.card, self._dataset.split("val")
        images = _named([scene.image.name for scene in self._dataset.split("train")])
        provenance = (
            f"trained by glnet-geo train on {self._dataset.name} ({images}), {card.provenance}; "
            f"{'/'.join(map(str, plan))} iterations in the three stages, seed "
            f"{self._schedule.seed}"
        )
        card = replace(
            card,
            architecture=replace(card.architecture, form=self.form),
            provenance=provenance,
            licence=licence,
            histogram=tuple(
                tuple(round(float(share), 4) for share in band)
                for band in self.course.sampler.histogram(HISTOGRAM_BINS)
            ),
        )
        if self._validation is None:
            return card
        net = self._net.in_form(self.form)
        segmenter = GLNetSegmenter(net, card, self._device, dtype=self._dtype, views=card.views)
        scores = score_scenes(held_out, segmenter, card).to_dict()
        images = _named([scene.image.name for scene in held_out])
        pixels = self._validation.pixels(net, self.form)
        if len(pixels):
            calibration = Calibration.fit(pixels)
            scores["calibration"] = calibration.to_dict()
            card = replace(card, temperature=round(calibration.temperature, 3))
        return replace(card, scores={"held_out": images, **scores})

    def _pool(self, split: str, stack: ExitStack) -> ScenePool:
        scenes, bands = self._dataset.split(split), len(self._model.card.bands)
        return stack.enter_context(ScenePool(scenes, self._dataset.legend, bands))

    def _validate(self, stage: Form) -> Scores:
        assert self._validation is not None
        return self._validation.scores(self._net, stage)


def _named(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} scenes"


def _epochs(pixels: int, frame: int, schedule: Schedule) -> Three:
    """Steps in which the three stages see as many pixels as the training scenes have."""
    frames = pixels / frame**2
    first, second, third = (
        max(math.ceil(frames / (count * schedule.accumulate)), _EPOCH_STEPS)
        for count in schedule.frames
    )
    return first, second, third


def _class_weights(
    schedule: Schedule, legend: Legend, pixels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32] | None:
    """How much a pixel of each class counts; None for all alike."""
    names = [one.name for one in legend.classes]
    if isinstance(schedule.class_weights, Balance):
        if schedule.class_weights is Balance.NONE:
            return None
        typical = np.median(pixels[pixels > 0])
        return np.where(pixels > 0, typical / np.maximum(pixels, 1), 1).astype(np.float32)
    unknown = sorted(set(schedule.class_weights) - set(names))
    if unknown:
        raise TrainingError(
            f"--class-weights names {unknown[0]!r}; the classes are {', '.join(names)}."
        )
    return np.array([schedule.class_weights.get(name, 1.0) for name in names], np.float32)

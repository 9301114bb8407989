from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from glnet_geo.checkpoint import read_card, read_model
from glnet_geo.datasets import load_dataset
from glnet_geo.errors import TrainingError
from glnet_geo.fitting import fit
from glnet_geo.model_options import FORMS, PAPER_OPTIONS
from glnet_geo.models.fpn import DecoderWidths
from glnet_geo.models.glnet import Architecture, Form, GLNet
from glnet_geo.models.sharing import FramePatch
from glnet_geo.models.stages import (
    LocalLosses,
    PatchBatch,
    local_step,
    prepare_stage,
    start_outputs,
    warm_start,
)
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.tiling import PatchLayout
from glnet_geo.training_options import TrainingOptions
from glnet_geo.validation import score_scenes
from tests.rasters import noise, placed_tif

ITERATIONS = (3, 3, 2)
TRAINING = {field.name for field in dataclasses.fields(TrainingOptions)}


def make_dataset(folder):
    """Two scenes to learn from and one to score on, 150 px, with frames of 128."""
    rng = np.random.default_rng(0)
    parts = ['name = "made"\nlegend = "dubai"\n']
    for name, split in (("a", "train"), ("b", "train"), ("c", "val")):
        labels = rng.integers(1, 6, (1, 150, 160), np.uint8)
        placed_tif(folder / f"{name}.tif", noise(150, 160, seed=ord(name)))
        placed_tif(folder / f"{name}_labels.tif", labels)
        parts.append(
            f'[[scenes]]\nimage = "{name}.tif"\nlabels = "{name}_labels.tif"\nsplit = "{split}"\n'
        )
    parts.append("[model]\nframe = 128\npatch_size = 64\nglobal_size = 64\nwidths = [8, 4]\n")
    path = folder / "data.toml"
    path.write_text("".join(parts))
    return path


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Weights of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("unbroken")
    run(make_dataset(folder), folder / "m.safetensors")
    return read_model(folder / "m.safetensors")[0].state_dict()


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Folder with a model of a step in each stage, and the card that `fit` returned."""
    folder = tmp_path_factory.mktemp("short")
    output = folder / "m.safetensors"
    return folder, run(make_dataset(folder), output, iterations=(1, 1, 1)).card


def test_train_writes_a_scored_model(cli, dataset, tmp_path):
    output = tmp_path / "m.safetensors"
    arguments = ("--iterations", "1,1,1", "--licence", "CC0 1.0")
    result = cli("train", dataset, "-o", output, *arguments)
    assert result.code == 0, result.err
    assert "on c.tif: mean_iou 0." in result.err
    card = read_card(output)
    assert card.architecture.form is Form.BOTH_WAYS and card.licence == "CC0 1.0"
    assert card.scores["held_out"] == "c.tif" and card.scores["pixels"] == 150 * 160
    assert "a.tif, b.tif" in card.provenance and "ImageNet" in card.provenance
    assert not list(tmp_path.glob(".*"))
    report = {path.name for path in (tmp_path / "m.train").iterdir() if path.suffix != ""}
    assert {"metrics.csv", "curves.png"} <= report
    result = cli("predict", tmp_path / "c.tif", "-o", tmp_path / "map.tif", "--model", output)
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("form", "steps"), [(Form.GLOBAL, [2, 0, 0]), (Form.GLOBAL_TO_LOCAL, [2, 1, 0])]
)
def test_a_form_runs_the_stages_that_it_has(cli, dataset, tmp_path, form, steps):
    output = tmp_path / "m.safetensors"
    words = ("train", dataset, "-o", output, "--json", "--iterations", ",".join(map(str, steps)))
    refused = cli(*words)
    assert refused.code == 1 and "at least one step" in refused.error
    assert not list(tmp_path.glob("*m.safetensors*"))
    result = cli(*words, "--form", form)
    assert result.code == 0, result.err
    assert json.loads(result.out)["iterations"] == steps
    net, card = read_model(output)
    assert card.architecture.form is form
    assert (net.local is None) == (form is Form.GLOBAL) and net.feedback is None


def test_forms_are_those_of_the_networks():
    assert tuple(Form) == FORMS


def test_card_tells_how_sure_the_model_is_and_what_it_was_shown(short):
    card = read_card(short[0] / "m.safetensors")
    calibration = card.scores["calibration"]
    assert calibration["temperature"] == card.temperature != 1
    assert calibration["expected_calibration_error"] <= calibration["without_temperature"]
    # Noise of all values alike, read smaller: no value is missing, and the middle prevails.
    histogram = np.array(card.histogram)
    assert histogram.shape == (3, 32) and np.allclose(histogram.sum(1), 1, atol=1e-2)


class Stop:
    """Interrupts a run after some steps."""

    def __init__(self, steps):
        self._left = steps

    def __call__(self, progress):
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGINT)


def run(dataset, output, **options):
    chosen = {name: options.pop(name) for name in list(options) if name in TRAINING}
    chosen = TrainingOptions(**{"iterations": ITERATIONS, **chosen})
    return fit(dataset, output, chosen, **{"device": "cpu", **options})


def command(dataset, output, *options):
    steps = ",".join(map(str, ITERATIONS))
    arguments = ("train", dataset, "-o", output, "--iterations", steps, "--device", "cpu")
    return [sys.executable, "-m", "glnet_geo", *map(str, (*arguments, *options))]


def assert_same_weights(output, unbroken):
    for key, value in read_model(output)[0].state_dict().items():
        torch.testing.assert_close(value, unbroken[key], rtol=0, atol=0, msg=key)


@pytest.mark.parametrize(
    "delays", [[0.3], pytest.param([0.0, 0.1, 0.2, 0.4, 0.8, 1.6], marks=pytest.mark.slow)]
)
def test_killed_run_ends_as_an_unbroken_one(dataset, unbroken, tmp_path, delays):
    output = tmp_path / "m.safetensors"
    state = tmp_path / ".m.safetensors.part" / "state"
    for delay in delays:
        before = state.stat().st_mtime_ns if state.exists() else 0
        run = subprocess.Popen(command(dataset, output, "--resume"), stderr=subprocess.DEVNULL)
        while run.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.01)
        time.sleep(delay)
        run.kill()
        run.wait()
        assert output.exists() == (run.returncode == 0)
    subprocess.run(command(dataset, output, "--resume", "--overwrite", "-q"), check=True)
    assert_same_weights(output, unbroken)
    assert not list(tmp_path.glob(".*"))
    rows = (tmp_path / "m.train" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(ITERATIONS)  # every step of so few is scored


def test_resumed_run_ends_as_an_unbroken_one(dataset, unbroken, tmp_path):
    """Interrupted in the middle of a stage, at the end of one, and after the last step."""
    broken = tmp_path / "broken.safetensors"
    done = 0
    for until in (2, 3, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            run(dataset, broken, report=Stop(until - done), resume=done > 0)
        assert not broken.exists()
        done = until
    seen = []
    run(dataset, broken, resume=True, report=seen.append)
    assert not seen
    assert_same_weights(broken, unbroken)


def test_kept_maps_train_the_same(dataset, short, tmp_path):
    output = tmp_path / "m.safetensors"
    run(dataset, output, iterations=(1, 1, 1), schedule={"recompute": False})
    assert_same_weights(output, read_model(short[0] / "m.safetensors")[0].state_dict())


def test_resume_without_a_state_starts_afresh_and_says_so(dataset, tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "m.safetensors", resume=True, report=Stop(1))
    assert "nothing to resume" in caplog.text
    assert (tmp_path / ".m.safetensors.part" / "state").exists()


def test_resume_refuses_a_state_of_another_run(dataset, tmp_path):
    output = tmp_path / "m.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(dataset, output, report=Stop(2))
    with pytest.raises(TrainingError, match="other data or parameters"):
        run(dataset, output, schedule={"seed": 1}, resume=True)
    state = tmp_path / ".m.safetensors.part" / "state"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cannot be resumed"):
        run(dataset, output, resume=True)


def test_what_is_wrong_with_the_data_is_said_before_anything_is_written(cli, dataset, tmp_path):
    before = {p.name for p in tmp_path.iterdir()}
    for spoiled, message in (
        ("c.tif", "c.tif does not exist"),
        ("b_labels.tif", "b_labels.tif does not exist"),
    ):
        (tmp_path / spoiled).rename(tmp_path / "away")
        result = cli("train", dataset, "-o", tmp_path / "m.safetensors")
        assert result.code == 1 and message in result.error
        (tmp_path / "away").rename(tmp_path / spoiled)
    assert {p.name for p in tmp_path.iterdir()} == before


def test_full_disk_is_said_and_leaves_nothing(dataset, tmp_path, monkeypatch):
    def save(state, path):
        path.write_bytes(b"cut")
        raise RuntimeError("basic_ios::clear: iostream error\nsecond line")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(TrainingError, match=r"cannot be written .* Make room") as caught:
        run(dataset, tmp_path / "m.safetensors")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".*"))


def test_loss_that_is_no_number_stops_the_run(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "glnet_geo.stage_trainer.local_step", lambda *_: LocalLosses(1.0, np.nan, 0.0)
    )
    with pytest.raises(
        TrainingError,
        match=r"stage global_to_local is no number at iteration 0, on frames of [ab]\.tif",
    ):
        run(dataset, tmp_path / "m.safetensors")


def test_output_must_not_be_one_of_the_labels(cli, dataset, tmp_path):
    labels = tmp_path / "a_labels.tif"
    before = labels.read_bytes()
    result = cli("train", dataset, "-o", labels, "--overwrite")
    assert result.code == 1 and "is the input itself" in result.error
    assert labels.read_bytes() == before


def test_cards_score_is_that_of_the_file(short):
    folder, card = short
    net, stored = read_model(folder / "m.safetensors")
    assert stored == card
    held_out = load_dataset(folder / "data.toml").split("val")
    scores = score_scenes(held_out, GLNetSegmenter(net, card, torch.device("cpu")), card)
    stored = {key: value for key, value in card.scores.items() if key != "calibration"}
    assert {**scores.to_dict(), "held_out": "c.tif"} == stored


def test_preset_trains_as_the_paper_does():
    schedule = TrainingOptions().schedule_for(PAPER_OPTIONS)
    assert schedule.learning_rates == (5e-5, 2e-5, 5e-5)
    assert schedule.weight_decay == 5e-4 and schedule.frames == (6, 6, 6)
    assert schedule.drawn is None and schedule.augmentation.scale == 1


def small_net():
    torch.manual_seed(0)
    widths = DecoderWidths(8, 4, activated=False)
    return GLNet(Architecture("efficientnet_lite0", 5, widths=widths)).eval()


@pytest.mark.parametrize("stage", [Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS])
def test_warm_start_begins_as_the_branch_before(stage):
    net = small_net()
    warm_start(net, stage)
    branch = net.local if stage is Form.GLOBAL_TO_LOCAL else net.feedback
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = net.context(pixels)
        other = plain.stages.map(torch.randn_like)
        torch.testing.assert_close(branch(pixels, other).logits, plain.logits)


def test_new_classes_begin_as_stage_1_has_learned_them():
    net = small_net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    head = net.context.decoder.classify
    for stage in (Form.GLOBAL, Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS):
        start_outputs(net, stage, (1, 4))
    for branch in (net.local, net.feedback):
        assert torch.equal(branch.decoder.classify.weight[[1, 4]], head.weight[[1, 4]])
    own, other = net.ensemble.weight.chunk(2, 1)
    assert torch.equal(own[1] + other[1], head.weight[1]) and torch.equal(own[4], other[4])
    for key, value in net.state_dict().items():
        kept = [0, 2, 3] if "classify" in key or "ensemble" in key else slice(None)
        assert torch.equal(value[kept], before[key][kept]) if value.ndim else True, key


def test_patches_of_hidden_frames_do_not_see_the_global_maps():
    net = small_net()
    prepare_stage(net, Form.GLOBAL_TO_LOCAL)
    layout = PatchLayout.cover(128, 128, 64)
    batch = PatchBatch(
        torch.randn(2, 3, 64, 64),
        torch.randint(0, 5, (2, 16, 16)),
        [FramePatch(frame, layout.windows[0]) for frame in (0, 1)],
    )

    def losses(seed, hidden):
        views = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            context = net.context(views)
        return local_step(net, context, batch, layout, hidden=hidden)

    assert losses(0, {0, 1}) == losses(1, {0, 1})
    assert losses(0, {0, 1}).regularization == 0
    assert losses(0, {1}) != losses(0, ()) != losses(1, ())


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        (Form.GLOBAL, {"context"}),
        (Form.GLOBAL_TO_LOCAL, {"local", "ensemble"}),
        (Form.BOTH_WAYS, {"feedback", "ensemble"}),
    ],
)
def test_a_stage_freezes_what_it_does_not_train(stage, trained):
    net = small_net()
    parameters = prepare_stage(net, stage)
    named = {key.split(".")[0] for key, p in net.named_parameters() if p.requires_grad}
    assert named == trained
    assert len(parameters) == sum(p.requires_grad for p in net.parameters())
    assert net.context.training == (stage is Form.GLOBAL)

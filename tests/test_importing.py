"""The authors' checkpoints through the command line, to the authors' own label maps."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import rasterio
import torch

from glnet_geo.checkpoint import read_model
from glnet_geo.importing import starting_network
from glnet_geo.legend import DEEPGLOBE
from glnet_geo.models.glnet import Architecture, Form
from glnet_geo.models.reference import PREFIX
from tests import reference
from tests.rasters import placed_tif

OPTIONS = {"g": "--global", "g2l": "--global-to-local", "l2g": "--local-to-global"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """The three files as the authors' trainer saves them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in OPTIONS:
        state = {PREFIX + key: value for key, value in reference.checkpoint(name).items()}
        torch.save(state, folder / f"{name}.pth")
    return folder


def import_arguments(folder, *names):
    return [part for name in names for part in (OPTIONS[name], folder / f"{name}.pth")]


@pytest.mark.parametrize(
    ("names", "form", "case_name", "expected"),
    [
        (("g",), Form.GLOBAL, "a", "m1_predictions_global"),
        (("g", "g2l"), Form.GLOBAL_TO_LOCAL, "b", "m2_predictions"),
        (("g", "g2l", "l2g"), Form.BOTH_WAYS, "a", "m3_predictions"),
        pytest.param(
            ("g", "g2l", "l2g"), Form.BOTH_WAYS, "b", "m3_predictions", marks=pytest.mark.slow
        ),
    ],
)
def test_imported_model_gives_the_authors_labels(
    cli, checkpoints, tmp_path, names, form, case_name, expected
):
    case = reference.Case(case_name)
    model, scene, labels = (tmp_path / n for n in ("m.safetensors", "scene.tif", "map.tif"))
    sizes = ("--global-size", case.global_size, "--patch-size", case.layout.patch_size)
    result = cli(
        "models",
        "import",
        *import_arguments(checkpoints, *names),
        "--legend",
        "deepglobe",
        *sizes,
        "--frame",
        max(case.layout.height, case.layout.width),
        "-o",
        model,
    )
    assert result.code == 0, result.err
    _, card = read_model(model)
    assert card.architecture.form is form and card.legend == DEEPGLOBE and card.name == "m"
    placed_tif(scene, np.array(case.image).transpose(2, 0, 1))
    result = cli("predict", scene, "-o", labels, "--model", model, "--reference")
    assert result.code == 0, result.err
    with rasterio.open(labels) as dataset:
        agreement = (dataset.read(1) == case.expected[expected]).mean()
    assert agreement >= 0.999


def test_defaults_are_the_papers(cli, checkpoints, tmp_path):
    model = tmp_path / "deepglobe.safetensors"
    arguments = import_arguments(checkpoints, "g")
    assert cli("models", "import", *arguments, "--legend", "deepglobe", "-o", model).code == 0
    _, card = read_model(model)
    assert (card.frame, card.global_size, card.patch_size, card.gsd) == (2448, 508, 508, None)


def spoil(state, kind):
    key = PREFIX + "fpn_global.smooth1_1.bias"
    if kind == "missing":
        del state[key]
    elif kind == "surplus":
        state["module.extra"] = torch.zeros(1)
    elif kind == "misshapen":
        state[key] = torch.zeros(3)
    elif kind == "infinite":
        state[key] = torch.full_like(state[key], torch.inf)
    return state


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "lacks key 'fpn_global.smooth1_1.bias'"),
        ("surplus", "surplus key 'module.extra'"),
        ("misshapen", "shape [3] for 'fpn_global.smooth1_1.bias'; expected [256]"),
        ("infinite", "not finite"),
    ],
)
def test_checkpoints_that_do_not_fit_are_named(cli, tmp_path, kind, message):
    state = {PREFIX + key: value for key, value in reference.checkpoint("g").items()}
    bad = tmp_path / "bad.pth"
    torch.save(spoil(state, kind), bad)
    output = tmp_path / "m.safetensors"
    result = cli("models", "import", "--global", bad, "--legend", "deepglobe", "-o", output)
    assert result.code == 1
    assert message.replace("module.extra", "extra") in result.error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.pth"]


class Hostile:
    def __reduce__(self):
        return (open, ("owned", "w"))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", pickle.dumps({"a": 1}), pickle.dumps(Hostile()), b"PK\x03\x04 cut"],
    ids=["empty", "text", "pickle", "hostile", "cut zip"],
)
def test_files_of_another_kind_get_one_line(cli, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.pth"
    bad.write_bytes(content)
    output = tmp_path / "m.safetensors"
    result = cli("models", "import", "--global", bad, "--legend", "deepglobe", "-o", output)
    assert result.code == 1 and "bad.pth" in result.error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.pth"]


def test_state_dict_of_something_else(cli, tmp_path):
    bad = tmp_path / "bad.pth"
    torch.save({"epoch": 3}, bad)
    arguments = ("--global", bad, "--legend", "deepglobe", "-o", tmp_path / "m.safetensors")
    assert "state dict of tensors" in cli("models", "import", *arguments).error


def test_legend_of_another_class_count_names_the_shape(cli, checkpoints, tmp_path):
    output = tmp_path / "m.safetensors"
    arguments = import_arguments(checkpoints, "g")
    result = cli("models", "import", *arguments, "--legend", "inria", "-o", output)
    assert result.code == 1 and "classify" in result.error and not output.exists()


def test_stage_3_needs_stage_2(cli, checkpoints, tmp_path):
    arguments = import_arguments(checkpoints, "g", "l2g")
    output = tmp_path / "m.safetensors"
    result = cli("models", "import", *arguments, "--legend", "deepglobe", "-o", output)
    assert result.code == 1 and "stage 2" in result.error


def test_training_starts_from_imagenet_where_it_can():
    architecture = Architecture("efficientnet_lite0", 5)
    net, start = starting_network(architecture, seed=0)
    assert "ImageNet" in start
    stem = net.context.backbone.get_parameter("_conv_stem.weight")
    again, _ = starting_network(architecture, seed=0)
    other, _ = starting_network(architecture, seed=1)
    torch.testing.assert_close(stem, other.context.backbone.get_parameter("_conv_stem.weight"))
    assert torch.equal(net.context.decoder.classify.weight, again.context.decoder.classify.weight)
    fresh = other.context.decoder.classify.weight
    assert not torch.equal(net.context.decoder.classify.weight, fresh)

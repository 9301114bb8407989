from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glnet_geo.checkpoint import METADATA_KEY, ModelCard, read_card, read_model, save_model
from glnet_geo.errors import GlnetGeoError, ModelError
from glnet_geo.legend import DEEPGLOBE
from glnet_geo.models.glnet import Form, GLNet
from tests.models import small_card, small_model


@pytest.mark.parametrize("form", list(Form))
def test_model_survives_the_file(tmp_path, form):
    path = small_model(tmp_path / "m.safetensors", form, gsd=0.5, scores={"mean_iou": 0.5})
    net, card = read_model(path)
    assert card == small_card(form, gsd=0.5, scores={"mean_iou": 0.5})
    assert read_card(path) == card
    torch.manual_seed(0)
    for key, value in GLNet(card.architecture).state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(net.state_dict()[key], value, rtol=0, atol=0)
    assert not net.training


def test_card_keeps_a_legend_that_ignores_a_class():
    card = small_card(legend=DEEPGLOBE)
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("stored") / "m.safetensors", Form.GLOBAL)


@pytest.fixture
def model_file(stored, tmp_path):
    """A model of stage 1 that a test may spoil."""
    return Path(shutil.copy(stored, tmp_path / "m.safetensors"))


def rewrite(path, tensors=None, **changes):
    """The same model with another card or other weights."""
    card = read_card(path).to_dict() | changes
    save_file(tensors or load_file(path), path, {METADATA_KEY: json.dumps(card)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format"),
        ({"backbone": "vgg"}, "backbone"),
        ({"widths": [1e9, 4]}, "outside"),
        ({"widths": [4]}, "makes no sense"),
        ({"form": "sideways"}, "makes no sense"),
        ({"frame": -1}, "outside"),
        ({"frame": True}, "outside"),
        ({"patch_size": 50}, "patches of 50"),
        ({"patch_size": 300}, "patches of 300"),
        ({"overlap": 200}, "overlap"),
        ({"gsd": "fine"}, "GSD"),
        ({"gsd": float("nan")}, "GSD"),
        ({"scaling": {"mean": [0, 0, 0], "std": [1, 0, 1]}}, "finite"),
        ({"scaling": {"mean": [0], "std": [1]}}, "bands"),
        ({"scaling": None}, "makes no sense"),
        ({"legend": {"name": "x", "classes": []}}, "no classes"),
        ({"name": "\x1b[31mred"}, "printable"),
        ({"provenance": 5}, "text"),
        ({"scores": [1]}, "wrong type"),
        ({"temperature": 0}, "temperature"),
        ({"views": 3}, "3 ways"),
        ({"histogram": [[0.5, 0.5]] * 3}, "histogram"),
        ({"histogram": [[1 / 32] * 32]}, "histogram"),
        ({"histogram": [[float("nan")] * 32] * 3}, "histogram"),
    ],
)
def test_cards_that_make_no_sense_are_named(model_file, changes, message):
    rewrite(model_file, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        read_model(model_file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert "\x1b" not in str(caught.value)


def test_a_missing_key_of_the_card_is_named(tmp_path):
    card = small_card().to_dict()
    del card["licence"]
    with pytest.raises(ModelError, match="no 'licence'"):
        ModelCard.from_dict(card)


def test_weights_that_do_not_fit_are_named(model_file):
    tensors = load_file(model_file)
    key = "context.decoder.classify.bias"
    for broken, message in (
        ({k: v for k, v in tensors.items() if k != key}, f"lacks key '{key}'"),
        (tensors | {"virus": torch.zeros(1)}, "surplus key 'virus'"),
        (tensors | {key: torch.zeros(9)}, r"shape \[9\]"),
        (tensors | {key: torch.full((5,), torch.nan)}, "not finite"),
        (tensors | {key: torch.zeros(5, dtype=torch.int32)}, "not finite"),
    ):
        rewrite(model_file, broken)
        with pytest.raises(ModelError, match=message):
            read_model(model_file)


def test_a_card_that_asks_for_more_than_the_file_holds_costs_nothing(model_file):
    rewrite(model_file, widths=[4096, 4096])
    with pytest.raises(ModelError, match="shape"):
        read_model(model_file)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x80\x04K\x01.",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 8) + b"not json",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 40) + b'{"a":{"dtype":"F32","shape":[9],"data_of',
    ],
    ids=["empty", "text", "pickle", "huge header", "no json", "no tensors", "cut"],
)
def test_files_of_another_kind_get_one_line(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


def test_truncated_file_gets_one_line(model_file, tmp_path):
    for part in (0.1, 0.9, 0.999):
        content = model_file.read_bytes()
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ModelError, match="not a whole safetensors file"):
            read_model(cut)


def test_card_that_is_no_json_object(tmp_path):
    path = tmp_path / "m.safetensors"
    for text in ("", "[1]", "{", "[" * 100_000):
        save_file({"a": torch.zeros(1)}, path, {METADATA_KEY: text})
        with pytest.raises(ModelError, match="not a usable model"):
            read_card(path)


def test_saving_over_a_model_that_cannot_be_written_keeps_it(tmp_path):
    path = tmp_path / "folder" / "m.safetensors"
    with pytest.raises(GlnetGeoError, match="cannot be written"):
        small_model(path, Form.GLOBAL)
    assert not path.parent.exists()


def test_model_file_is_as_readable_as_any_other(tmp_path):
    path = small_model(tmp_path / "m.safetensors", Form.GLOBAL)
    other = tmp_path / "other"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_half_precision_halves_the_file(tmp_path):
    card = small_card(Form.GLOBAL)
    net = GLNet(card.architecture)
    save_model(net, card, tmp_path / "whole.safetensors")
    save_model(net, card, tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("half", "whole")]
    assert 0.45 < sizes[0] / sizes[1] < 0.55
    loaded, _ = read_model(tmp_path / "half.safetensors")
    weight = net.context.decoder.classify.weight
    torch.testing.assert_close(loaded.context.decoder.classify.weight, weight.half().float())


def test_weights_of_an_odd_type_are_refused(model_file):
    tensors = load_file(model_file)
    key = "context.decoder.classify.bias"
    rewrite(model_file, tensors | {key: tensors[key].to(torch.float8_e4m3fn)})
    with pytest.raises(ModelError, match="not finite numbers"):
        read_model(model_file)

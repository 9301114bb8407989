"""Equality with the authors' implementation: the same numbers from the same checkpoints.

Tolerances are those that data/reference/README.md derives from float64 runs.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
import pytest
import torch

from glnet_geo.models.glnet import Architecture, Form, FrameLogits, GLNet, local_maps, segment_frame
from glnet_geo.models.inference import InferenceNet
from glnet_geo.models.reference import PREFIX, reference_key
from glnet_geo.models.sharing import FramePatch, Merging
from tests import reference

ABSOLUTE = 2e-4


def test_recipe_gives_the_checkpoints():
    for name, check in reference.read_json("weights_check.json")["check"].items():
        crc = 0
        for tensor in reference.checkpoint(name).values():
            crc = zlib.crc32(tensor.numpy().tobytes(), crc)
        assert crc == check["crc32_of_all_tensors_in_order"]


def test_keys_and_shapes_are_those_of_the_checkpoints():
    net = GLNet(Architecture("resnet50", reference.N_CLASSES))
    ours = {PREFIX + reference_key(key): list(v.shape) for key, v in net.state_dict().items()}
    theirs = {key: shape for key, shape, _ in reference.read_json("keys.json")["saved"]}
    # The plain classifier and the fused one are a single layer in the reference; so are keys of
    # the global backbone. The plain laterals of the second global branch have no counterpart.
    assert ours == theirs


@pytest.fixture(scope="module", params=["a", "b"])
def case(request):
    return reference.Case(request.param)


FORMS = {
    1: (Form.GLOBAL, {"context": "g"}),
    2: (Form.GLOBAL_TO_LOCAL, {"context": "g2l", "local": "g2l", "ensemble": "g2l"}),
    3: (
        Form.BOTH_WAYS,
        {"context": "g", "local": "l2g", "feedback": "l2g", "ensemble": "l2g"},
    ),
}


@lru_cache(6)
def plain_of(case, mode: int) -> FrameLogits:
    """The plain steps, run once for several tests."""
    return run(case, mode)


def run(case, mode: int, **options) -> FrameLogits:
    form, sources = FORMS[mode]
    net = reference.build(form, **sources)
    options.setdefault("batch_size", case.batch_size)
    return segment_frame(net, case.view, case.read_patches, case.layout, **options)


def run_prepared(case, mode: int, **options) -> FrameLogits:
    """The same through the networks as they are prepared for prediction."""
    form, sources = FORMS[mode]
    net = InferenceNet(reference.build(form, **sources), torch.device("cpu"))
    return net.segment(case.view, case.read_patches, case.layout, **options)


def test_geometry(case):
    geometry = case.json["geometry"]
    windows = case.layout.windows
    assert [[w.top, w.left] for w in windows] == geometry["patch_top_left_px"]
    for expected in geometry["pyramid_levels"].values():
        crops = [case.layout.crop(window, *expected["map_hw"]) for window in windows]
        assert [[c.top, c.left] for c in crops] == expected["top_left"]
        assert {(c.height, c.width) for c in crops} == {tuple(expected["crop_hw"])}


def scores(case, logits: torch.Tensor) -> np.ndarray:
    """Sum of the nearest-enlarged logits of all patches, K x H x W."""
    size = case.layout.patch_size
    total = torch.zeros(logits.shape[1], case.layout.height, case.layout.width)
    enlarged = torch.nn.functional.interpolate(logits, (size, size), mode="nearest")
    for window, patch in zip(case.layout.windows, enlarged, strict=True):
        total[(slice(None), *window.slices)] += patch
    return total.numpy()


def assert_labels_agree(predicted: np.ndarray, expected: np.ndarray) -> None:
    assert (predicted == expected).mean() >= 0.999


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_inference(case, mode):
    logits = plain_of(case, mode)
    expected = case.expected
    whole = logits.whole.numpy()
    np.testing.assert_allclose(whole, expected[f"m{mode}_output_global"], rtol=0, atol=ABSOLUTE)
    enlarged = torch.nn.functional.interpolate(
        logits.whole, (case.layout.height, case.layout.width), mode="nearest"
    )
    assert_labels_agree(enlarged[0].argmax(0).numpy(), expected[f"m{mode}_predictions_global"])
    if mode == 1:
        return
    step = case.json["score_stride"]
    heads = {"ensemble": (logits.patches, ""), "local": (logits.local, "_local")}
    for head, (patches, suffix) in heads.items():
        stride = case.json["patch_stride"]
        full = [patches[i].numpy() for i in case.json["full_patches"]]
        merged = scores(case, patches)
        for actual, name in (
            (patches[..., ::stride, ::stride].numpy(), f"m{mode}_{head}_logits_strided"),
            (np.stack(full), f"m{mode}_{head}_logits_full"),
            (merged[:, ::step, ::step], f"m{mode}_scores{suffix}_strided"),
        ):
            np.testing.assert_allclose(actual, expected[name], rtol=0, atol=ABSOLUTE, err_msg=name)
        assert_labels_agree(merged.argmax(0), expected[f"m{mode}_predictions{suffix}"])


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_inference_by_shortcuts(case, mode):
    """The authors' numbers again, and ours by the plain steps within rounding."""
    plain, prepared = plain_of(case, mode), run_prepared(case, mode)
    if mode == 1:
        assert_same_to_rounding(prepared.whole, plain.whole)
        return
    assert_same_to_rounding(prepared.patches, plain.patches)
    stride = case.json["patch_stride"]
    expected = case.expected[f"m{mode}_ensemble_logits_strided"]
    actual = prepared.patches[..., ::stride, ::stride].numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ABSOLUTE)
    merged = scores(case, prepared.patches)
    assert_labels_agree(merged.argmax(0), case.expected[f"m{mode}_predictions"])


def assert_same_to_rounding(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
def test_batch_size_changes_nothing():
    case = reference.Case("b")
    one = run(case, 3, batch_size=1)
    seven = run(case, 3, batch_size=7)
    torch.testing.assert_close(one.patches, seven.patches, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["b", pytest.param("a", marks=pytest.mark.slow)])
def test_maps_of_every_stage(name):
    """The merged local maps and statistics of all maps of the global branches."""
    case = reference.Case(name)
    form, sources = FORMS[3]
    net = reference.build(form, **sources)
    with torch.inference_mode():
        context = net.context(case.view)
        merging = Merging(context.stages, case.layout)
        for window in case.layout.windows:
            patch = [FramePatch(0, window)]
            local = local_maps(
                net.local, case.read_patches(patch), context.stages, case.layout, patch
            )
            merging.add(local.stages, patch)
        merged = merging.mean()
        fed = net.feedback(case.view, merged)
    for name, stage, level, index in (
        ("m3_merged_c5", merged.backbone, "c5", np.s_[:, ::128]),
        ("m3_merged_c2", merged.backbone, "c2", np.s_[:, ::64, ::4, ::4]),
        ("m3_merged_ps0_p3", merged.lateral, "p3", np.s_[:, ::64, ::2, ::2]),
        ("m3_merged_ps2_p2", merged.smooth2, "p2", np.s_[:, ::32, ::4, ::4]),
    ):
        actual = reference.level(stage, level).numpy()[index]
        np.testing.assert_allclose(actual, case.expected[name], rtol=0, atol=ABSOLUTE, err_msg=name)
    statistics = case.json["stats"]["mode3"]
    stages = {"": "backbone", "ps0_": "lateral", "ps1_": "smooth1", "ps2_": "smooth2"}
    for prefix, attribute in stages.items():
        for k in (2, 3, 4, 5):
            name = f"{prefix}{'p' if prefix else 'c'}{k}"
            for maps, expected in (
                (merged, statistics["merged_local_features"][name]),
                (fed.stages, statistics["features"][f"g_{name}"]),
            ):
                tensor = reference.level(getattr(maps, attribute), name)
                assert list(tensor.shape) == expected["shape"]
                assert tensor.abs().max().item() == pytest.approx(expected["absmax"], abs=ABSOLUTE)
                assert tensor.mean().item() == pytest.approx(expected["mean"], abs=ABSOLUTE)
                assert tensor.std().item() == pytest.approx(expected["std"], abs=ABSOLUTE)

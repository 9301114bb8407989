"""The reference implementation's fixtures: weights by recipe, inputs and expected numbers.

`data/reference/README.md` describes them.
"""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from glnet_geo.models.fpn import Levels
from glnet_geo.models.glnet import Architecture, Form, GLNet
from glnet_geo.models.reference import reference_key
from glnet_geo.tiling import PatchLayout

FOLDER = Path(__file__).parent / "data" / "reference"
SALTS = {"g": "g:", "g2l": "g2l:", "l2g": "l2g:"}
N_CLASSES = 7


def read_json(name):
    return json.loads((FOLDER / name).read_text())


def _weight(key: str, shape: list[int], salt: str) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32((salt + key).encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    backbone = key.startswith("resnet_")
    if key.endswith("running_mean"):
        values = rng.standard_normal(shape) * 0.1
    elif key.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
        values = rng.standard_normal(shape) * np.sqrt((2.0 if backbone else 1.0) / fan_in)
    elif key.endswith(".weight"):
        values = rng.uniform(0.5, 1.5, shape) * (0.25 if ".bn3." in key else 1.0)
    else:
        values = rng.standard_normal(shape) * (0.1 if backbone else 0.01)
    return values.astype(np.float32)


@functools.cache
def checkpoint(name: str) -> dict[str, torch.Tensor]:
    """One of the three checkpoints, keys without the prefix `module.`."""
    override = read_json("weights_override.json")[SALTS[name]]
    state = {}
    for prefixed, shape, _ in read_json("keys.json")["saved"]:
        key = prefixed.removeprefix("module.")
        if key in override:
            state[key] = torch.tensor(override[key], dtype=torch.float32)
        else:
            state[key] = torch.from_numpy(np.asarray(_weight(key, shape, SALTS[name])))
    return state


def build(form: Form, **sources: str) -> GLNet:
    """A GLNet whose parts (context, local, feedback, ensemble) come from named checkpoints."""
    # Without values: those drawn at random take longer than the checkpoints'.
    with torch.device("meta"):
        net = GLNet(Architecture("resnet50", N_CLASSES, form))
    state = {
        key: checkpoint(sources[key.partition(".")[0]])[reference_key(key)].clone()
        for key in net.state_dict()
    }
    net.load_state_dict(state, assign=True)
    return net.eval()


class Case:
    """One of the inference fixtures."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.json = read_json(f"case_{name}.json")
        self.expected = np.load(FOLDER / f"case_{name}.npz")
        self.image = Image.open(FOLDER / f"case_{name}.png").convert("RGB")
        geometry = self.json["geometry"]
        height, width = geometry["image_hw"]
        self.global_size = geometry["size_g"][0]
        self.batch_size = geometry["sub_batch_size"]
        self.layout = PatchLayout.cover(height, width, geometry["size_p"][0])
        self.pixels = to_tensor(self.image)

    @property
    def view(self) -> torch.Tensor:
        return small_view(self.image, self.global_size)

    def read_patches(self, patches):
        return torch.stack([self.pixels[(0, slice(None), *p.window.slices)] for p in patches])


def to_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def small_view(image: Image.Image, size: int) -> torch.Tensor:
    return to_tensor(image.resize((size, size), Image.Resampling.BILINEAR))


def level(levels: Levels, name: str) -> torch.Tensor:
    """A map by the reference's name of its level: c2..c5 or p2..p5."""
    return levels[int(name[-1]) - 2]

"""The key names of the reference's checkpoints.

The authors save both branches in one state dict (tests/data/reference/keys.json): `resnet_global`,
`fpn_global` with plain layers and, for stage 3, a second set ending in `_ext`, `resnet_local`,
`fpn_local` and `ensemble_conv`. Here the plain and the fused decoder are two modules of one class.
"""

from __future__ import annotations

import re

PREFIX = "module."
"""What DataParallel puts before every key of the authors' files."""

_EXTENDED = re.compile(r"(toplayer|latlayer\d|smooth\d_\d)\.")


def reference_key(key: str) -> str:
    """The reference's name, without `PREFIX`, of a key of `GLNet.state_dict()`."""
    part, _, rest = key.partition(".")
    if part == "ensemble":
        return f"ensemble_conv.{rest}"
    module, _, layer = rest.partition(".")
    side = "local" if part == "local" else "global"
    if module == "backbone":
        return f"resnet_{side}.{layer}"
    if part == "feedback":
        layer = _EXTENDED.sub(r"\1_ext.", layer)
    return f"fpn_{side}.{layer}"

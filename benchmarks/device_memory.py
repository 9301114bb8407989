"""What a frame needs of a device: the most bytes of live tensors at a time, weights included.

    python benchmarks/device_memory.py

For one frame of 2448 x 2448 and one of 5000 x 6000, with the bundled model and the paper's
networks, in fp32 and bf16, with as many patches at a time as run on a CPU and on a GPU. Nothing is
computed: tensors are on PyTorch's meta device, and every operation's results are followed until
they are freed. What libraries take inside an operation is not counted. Exits with 1 above 2 GB, the
paper's figure for up to 30 megapixels.
"""

from __future__ import annotations

import argparse
import sys
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LIMIT = 2e9
SIZES = ((2448, 2448), (5000, 6000))
META = torch.device("meta")


class LiveBytes(TorchDispatchMode):
    """Follows the storages of tensors from their first use to their end.

    Attributes:
        now: Bytes that are alive.
        most: The most that there were.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._known: set[int] = set()
        self.now = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, result)):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == self._device.type:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, count: int) -> None:
        self._known.discard(key)
        self.now -= count


def frame_bytes(
    model: str, height: int, width: int, dtype: torch.dtype, batch_size: int, device=META
) -> int:
    """The most bytes of tensors that one frame takes.

    Args:
        model: See `frames.MODELS`.
        height: Rows of the frame.
        width: Columns of the frame.
        dtype: Floating-point type of weights and maps.
        batch_size: Patches at a time.
        device: Where; on another than META it is computed.
    """
    from frames import load

    from glnet_geo.models.inference import InferenceNet
    from glnet_geo.tiling import PatchLayout

    net, card = load(model)
    layout = PatchLayout.cover(height, width, card.patch_size)
    side = card.global_size
    view_size = (
        round(side * height / max(height, width)),
        round(side * width / max(height, width)),
    )
    with LiveBytes(device) as live:
        prepared = InferenceNet(net, device, dtype)
        del net
        frame = torch.zeros(
            card.architecture.bands, height, width, dtype=torch.uint8, device=device
        )
        view = torch.zeros(1, len(frame), *view_size, dtype=torch.uint8, device=device)

        def read_patches(patches):
            windows = [(slice(None), *patch.window.slices) for patch in patches]
            return prepared.normalize(torch.stack([frame[window] for window in windows]))

        prepared.segment(prepared.normalize(view), read_patches, layout, batch_size)
    return live.most


def main() -> None:
    """Prints a row for each case."""
    from frames import MODELS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    passed = True
    print(f"{'':<20}{'frame':>14}{'type':>8}{'patches at a time':>20}{'GB':>8}", flush=True)
    for model in MODELS:
        for height, width in SIZES:
            for dtype in (torch.float32, torch.bfloat16):
                for batch_size in (1, 4):
                    found = frame_bytes(model, height, width, dtype, batch_size)
                    size, name = f"{width} x {height}", str(dtype).removeprefix("torch.")
                    row = f"{model:<20}{size:>14}{name:>10}{batch_size:>18}{found / 1e9:8.2f}"
                    print(row, flush=True)
                    passed &= found <= LIMIT
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

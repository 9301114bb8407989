"""Small tiles for batches, and batches in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from torch import nn

from glnet_geo.checkpoint import save_model
from glnet_geo.models.glnet import Form, GLNet
from tests.models import small_card
from tests.rasters import UTM, noise, placed_tif

SIDE = 64
ROOT = Path(__file__).parent.parent


def write_tile(path: Path, column: int, row: int, seed: int = 0) -> Path:
    """A tile of `SIDE` px, so many tiles to the right and down, of squares of random colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = UTM["transform"] @ Affine.translation(column * SIDE, row * SIDE)
    squares = noise(SIDE // 16, SIDE // 16, seed=seed).repeat(16, 1).repeat(16, 2)
    return placed_tif(path, squares, transform=place)


def write_tiles(folder: Path, mosaics: Sequence[tuple[int, int]], lone: int) -> Path:
    """Mosaics of so many rows and columns of tiles, each in a folder, and scenes by themselves."""
    for k, (rows, columns) in enumerate(mosaics):
        for row in range(rows):
            for column in range(columns):
                path = folder / f"m{k}" / f"t{row:02}_{column:02}.tif"
                write_tile(
                    path, column, 100 * k + row, seed=len(path.name) + row * columns + column
                )
    for k in range(lone):
        write_tile(folder / f"lone{k:02}.tif", 1000 + 10 * k, 0, seed=9000 + k)
    return folder


def lively_model(path: Path) -> Path:
    """A fast random model whose classes depend on the pixels.

    Without statistics of its layers, the biases of a random network drown the pixels: its maps are
    all but constant, and equal whatever went wrong.
    """
    torch.manual_seed(0)
    card = small_card(Form.GLOBAL)
    net = GLNet(card.architecture)
    rng = np.random.default_rng(0)
    views = torch.from_numpy(rng.integers(0, 256, (8, 3, 64, 64), np.uint8))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train().context(net.normalize(views))
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.1
        logits = net.eval().context(net.normalize(views)).logits
        heads = [
            one for one in net.modules() if isinstance(one, nn.Conv2d) and one.bias is not None
        ]
        head = [one for one in heads if one.out_channels == len(card.legend)][-1]
        head.bias -= logits.mean((0, 2, 3))
    save_model(net, card, path)
    return path


def environment() -> dict[str, str]:
    """For processes that find the package here wherever they are started."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start_batch(*words: object, **options) -> subprocess.Popen[str]:
    """`glnet-geo batch` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "glnet_geo", "batch", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"env": environment(), **options},
    )


def run_batch(*words: object, seconds: float = 300, **options) -> tuple[int, str]:
    """Exit code and messages of a batch that is left to end; it has so many seconds."""
    run = start_batch(*words, **options)
    try:
        _, messages = run.communicate(timeout=seconds)
    finally:
        run.kill()
    return run.returncode, messages


def read(path: Path) -> np.ndarray:
    """A map."""
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def maps_in(folder: Path) -> dict[str, np.ndarray]:
    """The maps of a batch by the names of their scenes."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): read(path)
        for path in sorted(folder.rglob("*.tif"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def manifest(folder: Path) -> dict[str, dict]:
    """The scenes of a manifest."""
    return json.loads((folder / "manifest.json").read_text())["scenes"]


def in_state(folder: Path, state: str) -> set[str]:
    """Names of the scenes that are so far; none before there is a manifest."""
    if not (folder / "manifest.json").exists():
        return set()
    return {name for name, one in manifest(folder).items() if one["state"] == state}


def times(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when a map is written once more."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): (
            path.stat().st_mtime_ns,
            path.stat().st_ino,
        )
        for path in folder.rglob("*.tif")
    }


def hidden(folder: Path) -> list[str]:
    """Hidden files and folders, and what lies in them."""
    names = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(name) for name in names if any(p.startswith(".") for p in name.parts))


def files(folder: Path) -> list[str]:
    """All that is not hidden."""
    names = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(name) for name in names if not any(p.startswith(".") for p in name.parts))


def wait_for_done(run: subprocess.Popen[str], count: int) -> list[str]:
    """Names of the scenes that a run says are done, until so many are."""
    done: list[str] = []
    assert run.stderr is not None
    while len(done) < count and (line := run.stderr.readline()):
        done += names_done(line)
    return done


def names_done(messages: str) -> list[str]:
    """Names of the scenes that messages say are done."""
    lines = (line.split() for line in messages.splitlines())
    return [words[1] for words in lines if words[:1] == ["done"]]


def check_unfinished(folder: Path, expected: Path) -> None:
    """What is visible of a broken run is whole, and part of what an unbroken one has left."""
    for path in folder.rglob("*.json"):
        if ".batch" not in path.parts:
            json.loads(path.read_text())
    assert set(files(folder)) <= set(files(expected))
    check_maps(folder, expected, [*maps_in(folder)])


def check_maps(folder: Path, expected: Path, names: Sequence[str]) -> None:
    """Maps are those of an unbroken run, pixel for pixel and place for place."""
    for name in names:
        path = f"{name}.tif"
        with rasterio.open(folder / path) as a, rasterio.open(expected / path) as b:
            assert (a.shape, a.transform, a.crs) == (b.shape, b.transform, b.crs), name
            np.testing.assert_array_equal(a.read(), b.read(), err_msg=name)


def check_finished(folder: Path, expected: Path) -> None:
    """A folder holds what an unbroken run has left in `expected`, and nothing else."""
    assert files(folder) == files(expected)
    assert hidden(folder) == []
    check_maps(folder, expected, [*maps_in(expected)])
    if (expected / "landcover.vrt").exists():
        assert (read(folder / "landcover.vrt") == read(expected / "landcover.vrt")).all()

"""What whoever maps a scene should know beforehand: one list, of `predict` and of `plan`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import numpy.typing as npt

from glnet_geo.checkpoint import HISTOGRAM_BINS, ModelCard
from glnet_geo.frame_source import Footing
from glnet_geo.grid import Window
from glnet_geo.map_options import MapOptions
from glnet_geo.radiometry import Stretch
from glnet_geo.raster import SceneReader
from glnet_geo.scene_setup import SceneSetup

Shares = npt.NDArray[np.float64]
"""bands x bins: shares of the values of a band in equal ranges of 0-255."""

_COLORS = ("red", "green", "blue")
_PLACES = 4  # windows along each axis that are looked at
_SIDE = 128  # pixels on a side of such a window
_ROWS = 16  # of a striped scene, whose rows are decoded in full width
_LEAST_PIXELS = 2000  # that say anything
# Scenes that a model was trained on lay up to 52 from their joint histogram; two of five of them
# at half their brightness up to 70.
_FAR = 64.0  # grey values
_MUCH_NEARER, _NEARER_BY = 0.6, 8.0
_MOST_ORDERED = 5  # bands whose orders are all tried


def preflight(setup: SceneSetup, looks: bool = True) -> Iterator[str]:
    """What is to be said of a scene before it is mapped.

    Args:
        setup: The scene and the model.
        looks: Whether some windows of the scene may be read.
    """
    reader, card = setup.reader, setup.card
    yield from cautions(reader, card, setup.options, setup.footing, setup.stretch)
    if looks and card.histogram:
        shares = look(setup)
        if shares is not None:
            yield from compare(str(reader.path), shares, card)


def cautions(
    reader: SceneReader, card: ModelCard, options: MapOptions, footing: Footing, stretch: Stretch
) -> Iterator[str]:
    """What the scene's metadata say."""
    yield from options.cautions(reader, card, footing)
    pairs = list(zip(reader.bands, reader.band_marks, card.bands, strict=False))
    # A name is no clue where the model's bands bear others.
    crossed = [
        (number, mark, wanted)
        for number, mark, wanted in pairs
        if mark != wanted and mark in _COLORS and wanted in _COLORS
    ]
    if crossed:
        told = ", ".join(
            f"band {number}, marked {mark}, as {wanted}" for number, mark, wanted in crossed
        )
        yield f"{reader.path} is read in an order that its own marks speak against: {told}."
    if reader.dtype != np.uint8 and not stretch.is_given:
        limits = ", ".join(
            f"{low:g}-{high:g}" for low, high in zip(stretch.low, stretch.high, strict=True)
        )
        yield (
            f"{reader.path} has {reader.dtype} pixels; the model '{card.name}' knows 8 bits. They "
            f"are stretched between percentiles of this scene ({limits}); give --scale for scenes "
            "that are to be alike."
        )


def look(setup: SceneSetup) -> Shares | None:
    """Reads windows from all over a scene, stretched as the networks get them.

    Returns:
        Shares of the values of each band; None where there is too little to tell.
    """
    counts = np.zeros((len(setup.card.bands), 256), np.int64)
    for window in _places(setup.reader):
        chip = setup.reader.read(window)
        pixels = setup.stretch.apply(chip.pixels)
        for band, count in zip(pixels, counts, strict=True):
            count += np.bincount(band[chip.valid], minlength=256)
    if counts.sum(1).min() < _LEAST_PIXELS:
        return None
    shares: Shares = counts.reshape(len(counts), HISTOGRAM_BINS, -1).sum(2) / counts.sum(
        1, keepdims=True
    )
    return shares


def _places(reader: SceneReader) -> Iterator[Window]:
    height, width = reader.grid.height, reader.grid.width
    rows = min(_ROWS if reader.is_striped else _SIDE, height)
    columns = width if reader.is_striped else min(_SIDE, width)
    for top in _spread(height, rows):
        for left in _spread(width, columns):
            yield Window(top, left, rows, columns)


def _spread(length: int, size: int) -> list[int]:
    """First pixels of windows along an axis, each once."""
    starts = ((2 * k + 1) * length // (2 * _PLACES) - size // 2 for k in range(_PLACES))
    return sorted({min(max(start, 0), length - size) for start in starts})


def compare(scene: str, shares: Shares, card: ModelCard) -> Iterator[str]:
    """What a scene's histogram says beside that of the training scenes."""
    known = np.array(card.histogram)
    order = range(len(known))
    # How many grey values the one's pixels would have to move to look like the other's.
    cost = (
        256
        / HISTOGRAM_BINS
        * np.abs(np.cumsum(shares, 1)[:, None] - np.cumsum(known, 1)[None]).sum(2)
    )
    as_it_is = float(np.mean([cost[k, k] for k in order]))
    if len(known) <= _MOST_ORDERED:
        orders = {one: float(np.mean(cost[list(one), order])) for one in permutations(order)}
        best = min(orders, key=lambda one: orders[one])
        if orders[best] < _MUCH_NEARER * as_it_is and as_it_is - orders[best] > _NEARER_BY:
            names = ", ".join(card.bands)
            likely = ", ".join(card.bands[best.index(k)] for k in order)
            yield (
                f"{scene}: the bands that are taken as {names} look like {likely} of the scenes "
                f"that the model '{card.name}' was trained on. Choose with --bands."
            )
            return
    if as_it_is > _FAR:
        yield (
            f"{scene} does not look like what the model '{card.name}' was trained on: its grey "
            f"values are {as_it_is:.0f} of 255 away on average. Expect poor results."
        )

"""Drawing pixels of a class raster by class, in two passes over its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.ground import Ground
from glnet_geo.runs import NOTHING, Runs
from glnet_geo.sample_design import Stratum

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClassExtent:
    """How much there is of a class.

    Attributes:
        pixels: Its pixels.
        area: Their area, in the ground's unit.
    """

    pixels: int
    area: float


def measure_classes(rows: Iterable[Runs], ground: Ground) -> dict[int, ClassExtent]:
    """Pixels and areas of all classes, by id in ascending order.

    Args:
        rows: A class raster from the top.
        ground: How large its pixels are.
    """
    pixels: dict[int, int] = {}
    areas: dict[int, list[float]] = {}
    for runs in rows:
        lengths = lengths_of(runs)
        values, which = np.unique(runs.value, return_inverse=True)
        counts = np.bincount(which, lengths)
        of_rows = np.repeat(ground.row_area[runs.top : runs.top + runs.height], np.diff(runs.first))
        sums = np.bincount(which, lengths * of_rows)
        for value, count, area in zip(values.tolist(), counts, sums, strict=True):
            pixels[value] = pixels.get(value, 0) + int(count)
            areas.setdefault(value, []).append(float(area))
    pixels.pop(NOTHING, None)
    if ground.is_uniform:
        # Rounded once, as everywhere.
        return {
            one: ClassExtent(pixels[one], float(pixels[one] * ground.row_area[0]))
            for one in sorted(pixels)
        }
    return {one: ClassExtent(pixels[one], math.fsum(areas[one])) for one in sorted(pixels)}


def lengths_of(runs: Runs) -> Integers:
    """Pixels of each run."""
    lengths: Integers = np.diff(runs.places, append=(runs.top + runs.height) * runs.width)
    return lengths


def draw_pixels(
    rows: Callable[[], Iterable[Runs]],
    strata: Sequence[Stratum],
    ground: Ground,
    width: int,
    generator: np.random.Generator,
) -> dict[int, Integers]:
    """Draws as many pixels of each stratum as its points, without replacement.

    Where all pixels have one area, each of a stratum is as likely as another. Else a pixel is
    drawn in proportion to its area: candidates that are as likely as each other are taken with a
    probability that goes by their area (Lahiri's method), until there are enough. That holds as
    long as a stratum's points are a small part of its pixels; where they are all of them, there is
    no choice.

    Args:
        rows: Gives the raster's rows from the top.
        strata: What to draw.
        ground: How large the pixels are.
        width: Pixels of a row.
        generator: Gives the random numbers.

    Returns:
        Pixels counted from the raster's first one, by id of the stratum, in random order.
    """
    ranks = {
        one.id: generator.choice(one.pixels, _candidates(one, ground), replace=False)
        for one in strata
    }
    found = locate_ranks(rows(), ranks)
    drawn = {}
    for one in strata:
        places = found[one.id]
        if not ground.is_uniform:
            limits = generator.random(len(places)) * ground.row_area.max()
            is_refused = limits >= ground.row_area[places // width]
            # Refused ones follow in case that there are too few others.
            places = places[np.argsort(is_refused, kind="stable")]
        drawn[one.id] = places[: one.points]
    return drawn


def _candidates(stratum: Stratum, ground: Ground) -> int:
    """How many to draw so that enough of them are taken."""
    if ground.is_uniform:
        return stratum.points
    share_taken = stratum.area / stratum.pixels / float(ground.row_area.max())
    # Six standard deviations and more.
    needed = (stratum.points + 6 * math.sqrt(stratum.points) + 20) / share_taken
    return min(stratum.pixels, math.ceil(needed))


def locate_ranks(rows: Iterable[Runs], ranks: Mapping[int, Integers]) -> dict[int, Integers]:
    """Finds the k-th pixels of classes.

    Args:
        rows: A class raster from the top.
        ranks: By class id, which of its pixels, counted from 0 row by row.

    Returns:
        Those pixels counted from the raster's first one, by class id, in the order of the ranks.
    """
    wanted = {one: np.sort(some) for one, some in ranks.items()}
    places = {one: np.empty(len(some), np.int64) for one, some in ranks.items()}
    passed = dict.fromkeys(ranks, 0)
    for runs in rows:
        order = np.argsort(runs.value, kind="stable")
        values, first = np.unique(runs.value[order], return_index=True)
        lengths, starts = lengths_of(runs)[order], runs.places[order]
        groups = np.split(np.arange(len(order)), first[1:])
        for value, here in zip(values.tolist(), groups, strict=True):
            if value not in wanted:
                continue
            ends = passed[value] + np.cumsum(lengths[here])
            low, high = np.searchsorted(wanted[value], [passed[value], ends[-1]])
            inside = wanted[value][low:high]
            which = np.searchsorted(ends, inside, "right")
            # Counted back from the end of its run.
            run_ends = starts[here][which] + lengths[here][which]
            places[value][low:high] = run_ends - (ends[which] - inside)
            passed[value] = int(ends[-1])
    return {one: places[one][np.argsort(np.argsort(some))] for one, some in ranks.items()}

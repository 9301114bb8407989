"""The city of a synthetic scene: a bent grid of main roads, and districts with streets and plots.

Streets and plots live in the (u, v) coordinates of the grid; `StreetGrid.place` carries them into
the image, where points are (x, y) with y down. All lengths are in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glnet_geo.scenery import (
    BUILDERS,
    LAND,
    ROAD,
    VEGETATION,
    Canvas,
    Colour,
    Mask,
    Plot,
    Points,
    along_and_across,
    car,
    garden,
    jitter,
    strip,
    tree,
)

_CELL = (840.0, 960.0)
_VERGE = 58.0
_PLOTS = {"villas": (37.0, 58.0), "terraces": (20.0, 52.0), "blocks": (100.0, 84.0)}


class Road(NamedTuple):
    """A carriageway: its middle line, and the widths of the asphalt and of both verges together."""

    line: Points
    width: float
    verge: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class StreetGrid:
    """The bent grid of main roads, which lie at whole multiples of `_CELL`."""

    origin: tuple[float, float]
    angle: float
    phases: tuple[float, float]

    def place(self, u: npt.ArrayLike, v: npt.ArrayLike) -> Points:
        """Points in the image."""
        bent_u = u + 85 * np.sin(np.divide(v, 370) + self.phases[0])
        bent_v = v + 70 * np.sin(np.divide(u, 410) + self.phases[1])
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x, y = bent_u * cos - bent_v * sin, bent_u * sin + bent_v * cos
        return np.stack([x + self.origin[0], y + self.origin[1]], axis=-1)


@dataclass(frozen=True, slots=True)
class District:
    """A cell of the grid; from its centre, `a` runs along its streets and `b` across them."""

    grid: StreetGrid
    centre: tuple[float, float]
    kind: str
    swirl: float
    turned: bool

    @property
    def half(self) -> tuple[float, float]:
        """Half the length along and across the streets, clear of the main roads."""
        u, v = _CELL[0] / 2 - _VERGE, _CELL[1] / 2 - _VERGE
        return (v, u) if self.turned else (u, v)

    def place(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Points:
        """Points in the image; the swirl fades towards the rim so that cells still meet."""
        along, across = np.asarray(a, float), np.asarray(b, float)
        inside_a = np.clip(1 - (along / self.half[0]) ** 2, 0, 1)
        inside_b = np.clip(1 - (across / self.half[1]) ** 2, 0, 1)
        turn = self.swirl * inside_a * inside_b
        turned_a = along * np.cos(turn) - across * np.sin(turn)
        turned_b = along * np.sin(turn) + across * np.cos(turn)
        u, v = (turned_b, turned_a) if self.turned else (turned_a, turned_b)
        return self.grid.place(u + self.centre[0], v + self.centre[1])

    def rim(self) -> Points:
        """The outline of the cell in the image."""
        steps = np.linspace(-1, 1, 24)
        one = np.ones_like(steps)
        a = np.concatenate([steps, one, -steps, -one])
        b = np.concatenate([-one, steps, one, -steps])
        return self.place(a * self.half[0], b * self.half[1])

    def streets(self) -> tuple[Points, Points, float]:
        """Where streets run (`b`), where the cross streets run (`a`), and their width."""
        width, depth = _PLOTS[self.kind]
        street = 13.0 if width > 90 else 8.0
        rows = max(1, int(self.half[1] / (depth + street / 2 + 4)))
        blocks = max(1, round(self.half[0] / 190))
        b, a = np.linspace(-1, 1, rows + 1), np.linspace(-1, 1, blocks + 1)
        return b * self.half[1], a * self.half[0], street

    def plot(self, a: float, b: float, side: int) -> Plot:
        """The plot around (a, b), on the given side of its street."""
        west, centre, east = self.place([a - 2, a, a + 2], [b, b, b])
        axis = (east - west) / np.hypot(*(east - west))
        away = self.place(a, b + side) - centre
        hand = 1 if axis[0] * away[1] - axis[1] * away[0] > 0 else -1
        return Plot(centre, axis, hand, *_PLOTS[self.kind])


def districts(rng: np.random.Generator, grid: StreetGrid, shape: tuple[int, int]) -> list[District]:
    """Those in sight: one of each kind around the grid's origin, mostly desert further out."""
    kinds = iter(rng.permutation(["villas", "terraces", "golf", "blocks"]).tolist())
    count, in_sight = int(np.hypot(*shape) / 2 / min(_CELL)) + 2, []
    for i, j in np.ndindex(2 * count, 2 * count):
        column, row = i - count, j - count
        central = -1 <= column <= 0 and -1 <= row <= 0
        other = rng.choice(["desert", "villas", "terraces", "blocks"], p=[0.55, 0.25, 0.1, 0.1])
        centre = ((column + 0.5) * _CELL[0], (row + 0.5) * _CELL[1])
        swirl, turned = rng.uniform(-0.35, 0.35), bool(rng.integers(2))
        kind = next(kinds) if central else str(other)
        district = District(grid, centre, kind, swirl, turned)
        rim = district.rim()
        if (rim.max(0) > 0).all() and (rim.min(0) < shape[::-1]).all():
            in_sight.append(district)
    return in_sight


def dry_runs(line: Points, wet: Mask) -> Iterator[Points]:
    """The stretches of a line that are on dry ground, in the image or a little beyond it."""
    x, y = np.moveaxis(line.astype(int), -1, 0)
    height, width = wet.shape
    near = (x > -40) & (y > -40) & (x < width + 40) & (y < height + 40)
    dry = near & ~wet[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    for run in np.split(np.arange(len(line)), np.flatnonzero(np.diff(dry)) + 1):
        if dry[run[0]] and len(run) > 1:
            yield line[run]


def streets(district: District, wet: Mask, rng: np.random.Generator) -> Iterator[Road]:
    """The streets of a district; the middle ones run on into the main roads."""
    if district.kind not in _PLOTS:
        return
    rows, columns, width = district.streets()
    colour, (half_a, half_b) = jitter(rng, (98, 92, 94), 8), district.half
    beyond = np.arange(-1, 1.001, 10 / half_a), np.arange(-1, 1.001, 10 / half_b)
    lines = [district.place(beyond[0] * half_a, np.full(len(beyond[0]), b)) for b in rows]
    for number, a in enumerate(columns):
        reach = half_b + (_VERGE if number == len(columns) // 2 else 0)
        lines.append(district.place(np.full(len(beyond[1]), a), beyond[1] * reach))
    for line in lines:
        yield from (Road(run, width, 8, colour) for run in dry_runs(line, wet))


def main_roads(grid: StreetGrid, wet: Mask, rng: np.random.Generator) -> Iterator[Road]:
    """Dual carriageways and, between them, single ones; they cross water on bridges."""
    reach, bridged = int(np.hypot(*wet.shape)), np.zeros_like(wet)
    count, along = reach // int(min(_CELL)) + 1, np.arange(-reach, reach, 12.0)
    for number, axis in np.ndindex(2 * count + 1, 2):
        colour, line = jitter(rng, (78, 71, 73), 4), (number - count) * _CELL[axis]
        dual = (number - count) % 2 == 0
        for offset in (-16, 16) if dual else (0,):
            uv = [along, np.full_like(along, line + offset)]
            for run in dry_runs(grid.place(uv[1 - axis], uv[axis]), bridged):
                yield Road(run, 21 if dual else 12, 14, colour)


def pave(canvas: Canvas, roads: Iterable[Road], wet: Mask, rng: np.random.Generator) -> None:
    """Draws verges, kerbs, asphalt, lane marks and cars, each below the next at every crossing."""
    roads, sand = list(roads), jitter(rng, (176, 172, 172), 5)
    for road in roads:
        for run in dry_runs(road.line, wet):
            canvas.fill(strip(run, road.width + road.verge), sand, LAND)
    for road in roads:
        canvas.fill(strip(road.line, road.width + 2), jitter(rng, (150, 144, 142), 6), ROAD)
    for road in roads:
        canvas.fill(strip(road.line, road.width), road.colour, ROAD)
    for road in roads:
        axes, across = along_and_across(road.line)
        for lane in (-0.17, 0.17) if road.width > 20 else ():
            paint = jitter(rng, np.add(road.colour, 30), 4)
            canvas.paint(road.line + across * lane * road.width, paint)
        for at in np.flatnonzero(rng.random(len(axes)) < 0.05):
            lane = rng.choice([-0.3, 0.3]) * road.width
            canvas.solids.append(car(rng, Plot(road.line[at], axes[at], 1, 0, 0), 0, lane))


def _plots(district: District, rng: np.random.Generator) -> Iterator[Plot]:
    """The plots along both sides of a district's streets; a few are left out."""
    rows, columns, street = district.streets()
    width, depth = _PLOTS[district.kind]
    setback = street / 2 + 5
    for left, right in pairwise(columns):
        count = int((right - left - 2 * setback) / width)
        middles = (left + right) / 2 + (np.arange(count) - (count - 1) / 2) * width
        for b, side in [(b, -1) for b in rows[1:]] + [(b, 1) for b in rows[:-1]]:
            for a in middles[rng.random(count) < 0.97]:
                yield district.plot(a, b + side * (setback + depth / 2), side)


def build(canvas: Canvas, district: District, wet: Mask, rng: np.random.Generator) -> None:
    """Builds on the plots of a district that are in sight and dry, and plants some of them."""
    if district.kind not in BUILDERS:
        return
    height, width = wet.shape
    for plot in _plots(district, rng):
        x, y = plot.centre
        column, row = plot.box(0, 0, plot.width, plot.depth).astype(int).T
        soaked = wet[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)].any()
        if not soaked and -40 < x < width + 40 and -40 < y < height + 40:
            builder = garden if rng.random() < 0.05 else BUILDERS[district.kind]
            builder(rng, canvas, plot)


def plant(canvas: Canvas, grid: StreetGrid, rng: np.random.Generator) -> None:
    """Rows of trees on the medians and verges of the main roads, with gaps."""
    reach = int(np.hypot(*canvas.labels.size))
    count, along = reach // int(min(_CELL)) + 1, np.arange(-reach, reach, 13.0)
    for number, offset, axis in product(range(-count, count + 1), (-40, 0, 40), (0, 1)):
        uv = [along, np.full_like(along, number * _CELL[axis] + offset)]
        row = grid.place(uv[1 - axis], uv[axis]) + rng.normal(0, 2, (len(along), 2))
        planted = np.sin(along / rng.uniform(60, 150)) > rng.uniform(-0.6, 0.8)
        for at in row[planted]:
            if canvas.land_cover(at) == LAND:
                canvas.solids.extend(tree(rng, at, rng.uniform(2.5, 4.5)))


def roundabout(canvas: Canvas, grid: StreetGrid, rng: np.random.Generator) -> None:
    """The crossing at the grid's origin: a ring of asphalt around a planted island."""
    centre, turns = grid.place(0, 0), np.linspace(0, 2 * np.pi, 49)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    # Cars of the roads that cross here would stand on the island.
    canvas.solids[:] = [s for s in canvas.solids if np.hypot(*(s.outline[0] - centre)) > 90]
    canvas.fill(centre + 80 * circle, jitter(rng, (84, 77, 79), 3), ROAD)
    canvas.fill(centre + 50 * circle, jitter(rng, (160, 156, 155), 5), LAND)
    canvas.fill(centre + 42 * circle, jitter(rng, (90, 94, 74), 5), VEGETATION)
    for at in centre + rng.normal(0, 15, (16, 2)):
        canvas.solids.extend(tree(rng, at, rng.uniform(3, 5)))

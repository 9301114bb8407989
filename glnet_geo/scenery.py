"""What synthetic scenes are drawn with: a canvas, noise, and the things that stand on a plot.

Points are float64, n x 2, as (x, y) in pixels of the image with y down. Lengths are in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

BUILDING, LAND, ROAD, VEGETATION, WATER = 1, 2, 3, 4, 5
"""Class ids, those of the built-in legend "dubai"."""

Points = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

SHADOW = np.array([-0.72, -0.69])
"""Direction in which shadows fall, away from the sun."""

_WHITE, _PAVING, _LAWN, _POOL = (238, 238, 236), (136, 133, 135), (90, 94, 74), (70, 150, 165)
_ROOF_GREYS = (236, 214, 188, 158, 140, 118, 104, 88)
_ROOFS = np.array([*((v, v - 1, v + 2) for v in _ROOF_GREYS), (178, 160, 138), (182, 124, 86)])
_ROOF_ODDS = np.array([0.16, 0.08, 0.13, 0.09, 0.15, 0.12, 0.13, 0.055, 0.07, 0.015])
_CARS = np.array([(235, 236, 238), (190, 192, 196), (60, 60, 66), (40, 38, 42), (150, 60, 50)])


class Solid(NamedTuple):
    """What stands up: a convex outline, the height of its top, and the length of its shadow."""

    outline: Points
    top: float
    shadow: float
    colour: Colour
    land_cover: int
    edge: Colour | None = None


@dataclass(slots=True)
class Canvas:
    """Picture, labels and shadow mask of one scene, drawn together.

    Attributes:
        picture: RGB, before light and texture.
        labels: Mode L, class ids.
        shade: Mode L, 255 where the sun does not reach.
        solids: What `raise_solids` is going to draw.
    """

    picture: Image.Image
    labels: Image.Image
    shade: Image.Image
    solids: list[Solid] = field(default_factory=list)

    def fill(self, outline: Points, colour: Colour, land_cover: int) -> None:
        """Fills a polygon."""
        flat = outline.ravel().tolist()
        ImageDraw.Draw(self.picture).polygon(flat, fill=colour)
        ImageDraw.Draw(self.labels).polygon(flat, fill=land_cover)

    def paint(self, line: Points, colour: Colour) -> None:
        """Draws a line one pixel wide that leaves the labels alone."""
        ImageDraw.Draw(self.picture).line(line.ravel().tolist(), colour)

    def cover(self, where: Mask, colour: Colour | Image.Image, land_cover: int) -> None:
        """Covers the pixels of an H x W mask with a colour, or with those of a picture."""
        mask, frame = Image.fromarray(where.astype(np.uint8) * 255), (0, 0, *self.picture.size)
        self.picture.paste(colour, frame, mask)
        self.labels.paste(land_cover, frame, mask)

    def land_cover(self, at: Points) -> int | None:
        """The class at a point so far; None outside the scene."""
        (width, height), x, y = self.labels.size, int(at[0]), int(at[1])
        if not (0 <= x < width and 0 <= y < height):
            return None
        return int(np.asarray(self.labels.getpixel((x, y))))

    def raise_solids(self) -> None:
        """Draws what stands up, low things first, so that tall ones shade the roofs below."""
        shade, picture = ImageDraw.Draw(self.shade), ImageDraw.Draw(self.picture)
        for solid in sorted(self.solids, key=lambda solid: solid.top):
            moved = solid.outline + SHADOW * solid.shadow
            next_foot, next_moved = np.roll(solid.outline, 1, 0), np.roll(moved, 1, 0)
            sides = np.concatenate([solid.outline, next_foot, next_moved, moved], axis=1)
            for flat in (*sides.tolist(), moved.ravel().tolist()):
                shade.polygon(flat, fill=255)
            shade.polygon(solid.outline.ravel().tolist(), fill=0)
            self.fill(solid.outline, solid.colour, solid.land_cover)
            if solid.edge is not None:
                picture.polygon(solid.outline.ravel().tolist(), outline=solid.edge)


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle of ground by a street, in its own axes: x along the street, y away from it.

    Attributes:
        centre: (x, y) in the image.
        axis: Unit vector along the street, in the image.
        side: 1 or -1, the side of the street it lies on.
        width: Length along the street.
        depth: Length away from the street.
    """

    centre: Points
    axis: Points
    side: int
    width: float
    depth: float

    def point(self, x: float, y: float) -> Points:
        """A point of the plot, counted from its centre, in the image."""
        across = np.array([-self.axis[1], self.axis[0]]) * self.side
        return np.asarray(self.centre + x * self.axis + y * across)

    def box(self, x: float, y: float, width: float, depth: float) -> Points:
        """A rectangle around (x, y): its corners in the image, 4 x 2."""
        signs = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
        return np.stack([self.point(x + i * width, y + j * depth) for i, j in signs])


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float], octaves: int = 3
) -> Field:
    """Smooth noise, H x W, about normal with deviation 1; `cell` is its coarsest grain (y, x)."""
    (height, width), total = shape, np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows, cols = height * 2**octave / cell[0], width * 2**octave / cell[1]
        grains = rng.standard_normal((int(rows) + 4, int(cols) + 4), dtype=np.float32)
        window = (1.0, 1.0, 1 + cols, 1 + rows)
        smooth = Image.fromarray(grains).resize((width, height), Image.Resampling.BICUBIC, window)
        total += np.asarray(smooth) * np.float32(1.35 * 0.6**octave)
    return total / np.float32(np.sqrt(sum(0.36**octave for octave in range(octaves))))


def jitter(rng: np.random.Generator, colour: npt.ArrayLike, spread: float) -> Colour:
    """The colour, lighter or darker by chance and a little off in hue."""
    shifted = np.asarray(colour) + rng.normal(0, spread) + rng.normal(0, spread / 6, 3)
    red, green, blue = np.clip(shifted, 0, 255).astype(int).tolist()
    return red, green, blue


def along_and_across(line: Points) -> tuple[Points, Points]:
    """Unit vectors along a line and to one side of it, at each of its points."""
    along = np.gradient(line, axis=0)
    along /= np.hypot(along[:, :1], along[:, 1:])
    return along, np.stack([-along[:, 1], along[:, 0]], axis=-1)


def strip(line: Points, width: float) -> Points:
    """The outline of a line of some width."""
    # Pillow's own wide lines leave gaps between segments that hardly turn.
    aside = along_and_across(line)[1] * (width / 2)
    return np.concatenate([line + aside, (line - aside)[::-1]])


def blob(rng: np.random.Generator, at: Points, radius: float) -> Points:
    """An irregular round outline, 8 x 2."""
    turns = np.arange(8) * (np.pi / 4)
    reach = radius * rng.uniform(0.75, 1.2, (8, 1))
    return np.asarray(at + reach * np.stack([np.cos(turns), np.sin(turns)], axis=-1))


def tree(rng: np.random.Generator, at: Points, radius: float) -> Iterator[Solid]:
    """A crown and its lit side."""
    colour = jitter(rng, (57, 62, 54), 10)
    yield Solid(blob(rng, at, radius), radius, radius * 1.3, colour, VEGETATION)
    lit, sunward = jitter(rng, np.add(colour, 30), 8), at - SHADOW * radius * 0.3
    yield Solid(blob(rng, sunward, radius * 0.55), radius + 0.1, 0, lit, VEGETATION)


def car(rng: np.random.Generator, plot: Plot, x: float, y: float) -> Solid:
    """A parked or moving car, along the plot's x axis; the road below it stays road."""
    colour = jitter(rng, _CARS[rng.choice(5, p=[0.42, 0.2, 0.2, 0.13, 0.05])], 8)
    return Solid(plot.box(x, y, 8, 3.5), 2, 2.5, colour, ROAD)


def _roof(rng: np.random.Generator) -> Colour:
    return jitter(rng, _ROOFS[rng.choice(len(_ROOFS), p=_ROOF_ODDS)], 10)


def _house(
    rng: np.random.Generator, plot: Plot, x: float, y: float, width: float, depth: float
) -> Iterator[Solid]:
    """Two storeys, the upper one on a part of the lower, with small units on top."""
    low, high = _roof(rng), _roof(rng)
    height = rng.uniform(6, 9)
    parapet = jitter(rng, np.add(low, 26), 10)
    yield Solid(plot.box(x, y, width, depth), height, height, low, BUILDING, parapet)
    part = rng.uniform(0.45, 0.75, 2)
    dx, dy = (1 - part) * (width, depth) / 2 * rng.choice([-1, 1], 2)
    upper = plot.box(x + dx, y + dy, part[0] * width, part[1] * depth)
    yield Solid(upper, height + 5, 6, high, BUILDING, jitter(rng, np.add(high, 30), 8))
    for _ in range(int(rng.integers(2, 6))):
        ux, uy = rng.uniform(-0.36, 0.36, 2) * (width, depth) + (x, y)
        unit = plot.box(ux, uy, *rng.uniform(2, 6, 2))
        yield Solid(unit, height + 7, 3, _roof(rng), BUILDING)


def villa(rng: np.random.Generator, canvas: Canvas, plot: Plot) -> None:
    """A house in a paved or planted yard, sometimes with a pool."""
    width, depth = plot.width, plot.depth
    yard = jitter(rng, np.add(_PAVING, rng.choice([-14, 26])), 14)
    canvas.fill(plot.box(0, 0, width, depth), yard, LAND)
    if rng.random() < 0.55:
        lawn = plot.box(0, depth * 0.32, width * rng.uniform(0.5, 0.9), depth * 0.28)
        canvas.fill(lawn, jitter(rng, _LAWN, 7), VEGETATION)
    if rng.random() < 0.16:
        x, y = rng.uniform(-0.25, 0.25) * width, depth * 0.36
        canvas.fill(plot.box(x, y, 13, 9), jitter(rng, (190, 188, 186), 8), LAND)
        canvas.fill(plot.box(x, y, 10, 6), jitter(rng, _POOL, 8), WATER)
    wall = plot.box(0, 0, width, depth)
    canvas.paint(np.concatenate([wall, wall[:1]]), jitter(rng, (196, 194, 194), 14))
    house = rng.uniform(0.66, 0.84) * width, rng.uniform(0.54, 0.68) * depth
    canvas.solids.extend(_house(rng, plot, rng.normal(0, 0.04) * width, -0.1 * depth, *house))
    for _ in range(int(rng.poisson(2.6))):
        x = rng.choice([-0.45, 0.45, rng.uniform(-0.45, 0.45)]) * width
        at = plot.point(x, rng.choice([-0.46, 0.42]) * depth)
        canvas.solids.extend(tree(rng, at, rng.uniform(2.5, 5.5)))


def terrace(rng: np.random.Generator, canvas: Canvas, plot: Plot) -> None:
    """A narrow house that fills its plot but for a small garden."""
    colour = jitter(rng, _PAVING, 18)
    canvas.fill(plot.box(0, 0, plot.width, plot.depth), colour, LAND)
    if rng.random() < 0.5:
        garden = plot.box(0, plot.depth * 0.37, plot.width * 0.8, plot.depth * 0.2)
        canvas.fill(garden, jitter(rng, _LAWN, 8), VEGETATION)
    size = plot.width * 0.97, plot.depth * rng.uniform(0.62, 0.72)
    canvas.solids.extend(_house(rng, plot, 0, -0.06 * plot.depth, *size))


def garden(rng: np.random.Generator, canvas: Canvas, plot: Plot) -> None:
    """A plot of lawn with trees."""
    lawn = plot.box(0, 0, plot.width * 0.94, plot.depth * 0.94)
    canvas.fill(lawn, jitter(rng, _LAWN, 6), VEGETATION)
    for x, y in rng.uniform(-0.45, 0.45, (int(plot.width * plot.depth / 150), 2)):
        at = plot.point(x * plot.width, y * plot.depth)
        canvas.solids.extend(tree(rng, at, rng.uniform(2.5, 5)))


def block(rng: np.random.Generator, canvas: Canvas, plot: Plot) -> None:
    """A tower on its podium, a row of halls, or a car park."""
    width, depth = plot.width, plot.depth
    kind, ground = rng.random(), jitter(rng, (168, 163, 160), 18)
    canvas.fill(plot.box(0, 0, width * 0.96, depth * 0.96), ground, LAND)
    if kind < 0.45:
        canvas.solids.extend(_tower(rng, plot))
    elif kind < 0.84:
        for x in (np.arange(3) - 1) * width * 0.29:
            roof, edge = _roof(rng), jitter(rng, _WHITE, 10)
            hall = plot.box(x, 0, width * 0.24, depth * rng.uniform(0.6, 0.8))
            canvas.solids.append(Solid(hall, 10, 11, roof, BUILDING, edge))
            for y in (np.arange(7) - 3) * depth * 0.09:
                rib = plot.box(x, y, width * 0.2, 2)
                canvas.solids.append(Solid(rib, 11, 1, jitter(rng, roof, 9), BUILDING))
    else:
        canvas.fill(plot.box(0, 0, width * 0.8, depth * 0.8), jitter(rng, (104, 98, 99), 6), ROAD)
        for x, y in np.ndindex(5, 8):
            if rng.random() < 0.6:
                spot = (x - 2) * width * 0.15, (y - 3.5) * depth * 0.09
                canvas.solids.append(car(rng, plot, *spot))


def _tower(rng: np.random.Generator, plot: Plot) -> Iterator[Solid]:
    width, depth = plot.width, plot.depth
    base, roof = _roof(rng), _roof(rng)
    edge = jitter(rng, _WHITE, 8)
    yield Solid(plot.box(0, 0, width * 0.72, depth * 0.72), 12, 12, base, BUILDING, edge)
    height, size = rng.uniform(28, 75), rng.uniform(0.32, 0.46, 2) * (width, depth)
    x, y = rng.uniform(-0.12, 0.12, 2) * (width, depth)
    yield Solid(plot.box(x, y, *size), height, height, roof, BUILDING, edge)
    for _ in range(9):
        dx, dy = rng.uniform(-0.4, 0.4, 2) * size
        unit = plot.box(x + dx, y + dy, *rng.uniform(3, 13, 2))
        yield Solid(unit, height + 1, 4, _roof(rng), BUILDING)


BUILDERS: dict[str, Callable[[np.random.Generator, Canvas, Plot], None]] = {
    "villas": villa,
    "terraces": terrace,
    "blocks": block,
}
"""What each kind of district puts on its plots."""

"""A synthetic very-high-resolution city scene whose land cover is known for every pixel.

The scene tells the story of an arid coastal city at 0.5 m per pixel: desert, a creek, dual
carriageways, districts of villas, terraced houses and large blocks, and a golf course. Everything
is drawn; nothing is taken from a picture. Colours, sizes and texture strengths were set from
statistics (mean and spread per class and band, building and road sizes, high-pass energy) of
very-high-resolution imagery of Dubai, before any model was scored on the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from glnet_geo.scene_city import (
    District,
    StreetGrid,
    build,
    districts,
    main_roads,
    pave,
    plant,
    roundabout,
    streets,
)
from glnet_geo.scenery import LAND, VEGETATION, WATER, Canvas, Mask, blob, jitter, noise, tree

_WATER_SHARE = 0.11

# Relative strength of fine and of coarse texture, by class id.
_FINE = np.array([0.0, 0.06, 0.038, 0.05, 0.09, 0.10], np.float32)
_COARSE = np.array([0.0, 0.04, 0.03, 0.03, 0.045, 0.10], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticScene:
    """A scene and its truth.

    Attributes:
        pixels: uint8, 3 x H x W, RGB.
        labels: uint8, H x W, class ids 1-5 of the legend "dubai"; no pixel is without a class.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def make_scene(height: int = 2448, width: int = 2448, seed: int = 0) -> SyntheticScene:
    """Draws a scene.

    Args:
        height: Rows; 64 or more make sense.
        width: Columns.
        seed: The same seed and size give the same scene.
    """
    rng = np.random.default_rng(seed)
    shape = (height, width)
    middle = rng.uniform(0.44, 0.56, 2) * (width, height)
    phases = rng.uniform(0, 2 * np.pi, 2)
    grid = StreetGrid((middle[0], middle[1]), rng.uniform(0.3, 1.2), (phases[0], phases[1]))
    areas = districts(rng, grid, shape)
    size = (width, height)
    labels = Image.new("L", size, LAND)
    canvas = Canvas(_desert(rng, shape), labels, Image.new("L", size))
    creek = _creek(rng, shape)
    _flood(canvas, creek, rng)
    near_water = np.asarray(Image.fromarray(creek).convert("L").filter(ImageFilter.BoxBlur(12))) > 0
    for district in areas:
        if district.kind == "golf":
            _golf(canvas, district, near_water, rng)
    roads = [road for district in areas for road in streets(district, near_water, rng)]
    pave(canvas, [*roads, *main_roads(grid, near_water, rng)], near_water, rng)
    roundabout(canvas, grid, rng)
    plant(canvas, grid, rng)
    for district in areas:
        build(canvas, district, near_water, rng)
    _shrubs(canvas, rng)
    canvas.raise_solids()
    truth = np.asarray(labels)
    return SyntheticScene(_sense(canvas, truth, rng), truth)


def _desert(rng: np.random.Generator, shape: tuple[int, int]) -> Image.Image:
    """Tonal patches from grey to near-white sand, dune ripples, and vehicle tracks."""
    tone = 211 + 9 * noise(rng, shape, (600, 800), 4)
    tone += 12 * np.tanh(3 * noise(rng, shape, (80, 420), 6) - 2)
    tone -= 42 * np.clip(3 * noise(rng, shape, (420, 700), 6) - 2.6, 0, 1)
    tone -= 9 * np.clip(noise(rng, shape, (5, 5), 1) - 1.1, 0, 2)
    warmth = noise(rng, shape, (500, 500), 2)
    tracks = Image.new("L", shape[::-1])
    for _ in range(3 + shape[0] * shape[1] // 250_000):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, 60))
        steps = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=-1) * 22, axis=0)
        line = steps + rng.uniform(0, 1, 2) * shape[::-1]
        ImageDraw.Draw(tracks).line(
            line.ravel().tolist(), int(rng.integers(90, 255)), int(rng.integers(2, 7))
        )
    tone += np.asarray(tracks.filter(ImageFilter.GaussianBlur(1.5)), np.float32) * 0.2
    bands = [tone - 1 + 3 * warmth, tone - 1, tone + 5 - 4 * warmth]
    return Image.fromarray(np.clip(np.stack(bands, axis=-1), 0, 255).astype(np.uint8))


def _golf(canvas: Canvas, district: District, wet: Mask, rng: np.random.Generator) -> None:
    """A golf course: rough, fairways, waste areas, greens, bunkers, ponds and trees."""
    shape = canvas.labels.size[::-1]
    cell = Image.new("L", shape[::-1])
    ImageDraw.Draw(cell).polygon(district.rim().ravel().tolist(), fill=255)
    inside, lie = (np.asarray(cell) > 0) & ~wet, noise(rng, shape, (190, 120), 2)
    canvas.cover(inside, (86, 83, 83), VEGETATION)
    marbled = noise(rng, shape, (70, 70), 4) + 0.5 * lie
    canvas.cover(inside & (marbled < -0.9), (146, 144, 150), LAND)
    canvas.cover(inside & (lie > 0.15), (88, 92, 70), VEGETATION)
    ponds = inside & (noise(rng, shape, (160, 160), 2) > 1.7)
    _flood(canvas, ponds, rng)
    inside &= ~ponds
    at = rng.uniform(-1, 1, (2200, 2)) * district.half
    for x, y in district.place(at[:, 0], at[:, 1]):
        row, column = int(y), int(x)
        if not (0 <= x < shape[1] and 0 <= y < shape[0] and inside[row, column]):
            continue
        height, point = lie[row, column], np.array([x, y])
        if abs(height + 0.15) < 0.3 or rng.random() < 0.15:
            canvas.solids.extend(tree(rng, point, rng.uniform(3, 7)))
        elif height > 1.2 and rng.random() < 0.12:
            canvas.fill(blob(rng, point, 15), jitter(rng, (104, 107, 76), 5), VEGETATION)
        elif rng.random() < 0.07:
            canvas.fill(blob(rng, point, rng.uniform(4, 10)), (168, 172, 190), LAND)


def _creek(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    """A winding creek through one side of the scene, of a fixed share of its area."""
    y, x = (np.arange(length, dtype=np.float32) / max(shape) for length in shape)
    y = y[:, None]
    turn = rng.uniform(0, 2 * np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    across -= across.mean() + np.float32(0.3) + np.float32(0.07) * np.sin(along * 6 + turn)
    distance = np.abs(across) - np.float32(0.045) * noise(rng, shape, (420, 420))
    return np.asarray(distance < np.quantile(distance, _WATER_SHARE))


def _flood(canvas: Canvas, wet: Mask, rng: np.random.Generator) -> None:
    """Water from shallow green to near-black, behind a bright rim of sand or stone."""
    mask, shape = Image.fromarray(wet).convert("L"), (wet.shape[0], wet.shape[1])
    rim = np.asarray(mask.filter(ImageFilter.BoxBlur(3))) > 0
    canvas.cover(rim & ~wet, jitter(rng, (186, 183, 180), 8), LAND)
    shore = np.asarray(mask.filter(ImageFilter.BoxBlur(34)), np.float32) / 255
    depth = np.clip(shore * 2 - 1 + 0.15 * noise(rng, shape, (300, 300)), 0, 1)[..., None]
    shallow, deep = np.array([44, 60, 50], np.float32), np.array([16, 20, 22], np.float32)
    colours = deep + (shallow - deep) * (1 - depth) ** 2
    canvas.cover(wet, Image.fromarray(colours.astype(np.uint8)), WATER)


def _shrubs(canvas: Canvas, rng: np.random.Generator) -> None:
    """Sparse clumps of desert shrubs, where nothing else has been drawn on the sand."""
    width, height = canvas.labels.size
    labels, untouched = np.asarray(canvas.labels), np.asarray(canvas.picture)
    for _ in range(width * height // 30_000):
        clump = rng.uniform(0, 1, 2) * (width, height)
        for at in clump + rng.normal(0, 22, (int(rng.integers(1, 6)), 2)):
            x, y = np.clip(at.astype(int), 0, (width - 1, height - 1))
            if labels[y, x] == LAND and untouched[y, x].min() > 170:
                canvas.solids.extend(tree(rng, at, rng.uniform(1.5, 3.5)))


def _sense(
    canvas: Canvas, truth: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """What a satellite sees: texture and shade, then optics, noise and a tone curve.

    Satellite products are sharpened against the blur of the optics; hence the unsharp mask.
    """
    shape = (truth.shape[0], truth.shape[1])
    gain = 1 + _FINE[truth] * noise(rng, shape, (2.4, 2.4), 1)
    gain += _COARSE[truth] * noise(rng, shape, (18, 18), 2)
    shade = np.asarray(canvas.shade.filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255
    lit = np.array(canvas.picture)
    for band, depth in enumerate((0.74, 0.72, 0.68)):
        lit[..., band] = np.clip(lit[..., band] * gain * (1 - np.float32(depth) * shade), 0, 255)
    optics = Image.fromarray(lit).filter(ImageFilter.GaussianBlur(0.7))
    seen = np.moveaxis(np.asarray(optics.filter(ImageFilter.UnsharpMask(1.3, 80, 0))), -1, 0)
    curve = np.interp(np.arange(256), (0, 40, 128, 215, 255), (0, 30, 130, 226, 255))
    pixels = np.empty_like(seen, order="C")
    for band in range(3):
        grain = rng.standard_normal(shape, dtype=np.float32)
        noisy = np.clip(seen[band] + 2.2 * grain + 0.5, 0, 255).astype(np.uint8)
        pixels[band] = curve.round().astype(np.uint8)[noisy]
    return pixels

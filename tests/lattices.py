"""Class rasters as text or noise, their polygons, and the polygons as shapely sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import rasterio.features
import shapely
from hypothesis import strategies as st

from glnet_geo import sweep_tables, tracing
from glnet_geo.lattice import LatticePolygons
from glnet_geo.runs import NOTHING, Runs

Pixels = npt.NDArray[np.int64]
Shapes = npt.NDArray[np.object_]

connectivities = st.sampled_from([4, 8])
strip_heights = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def pixels_of(text: str) -> Pixels:
    """Rows of digits, `.` for nodata."""
    rows = [[NOTHING if c == "." else int(c) for c in line] for line in text.split()]
    return np.array(rows, np.int64)


@st.composite
def rasters(draw: st.DrawFn, longest: int = 13, nodata: bool = True) -> Pixels:
    """Noise of a few classes; in half of the cases each pixel of it is 2 x 2 large."""
    height, width = draw(st.tuples(st.integers(1, longest), st.integers(1, longest)))
    classes = draw(st.sampled_from([[0, 1], [3, 1, 2], [-2, 7, 2**40, 9], [5]]))
    share = draw(st.sampled_from([0, 0.05, 0.5])) if nodata else 0
    size = draw(st.sampled_from([1, 2]))
    # Uniform noise: hypothesis prefers arrays of one class, which say little here.
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = noise.choice(np.array(classes, np.int64), (height, width))
    pixels = pixels.repeat(size, axis=0).repeat(size, axis=1)[:height, :width]
    pixels[noise.random((height, width)) < share] = NOTHING
    return pixels


def blobs(height: int, width: int, classes: int = 5, scale: int = 12, seed: int = 0) -> Pixels:
    """A map of patches some `scale` pixels wide, and single pixels of other classes."""
    noise = np.random.default_rng(seed)
    fields = noise.normal(size=(classes, height, width))
    kernel = np.hanning(4 * scale + 1)
    for axis in (1, 2):
        fields = np.apply_along_axis(np.convolve, axis, fields, kernel, "same")
    pixels = fields.argmax(axis=0)
    is_salt = noise.random(pixels.shape) < 0.003
    pixels[is_salt] = noise.integers(0, classes, is_salt.sum())
    return pixels.astype(np.int64)


def strips_of(pixels: Pixels, heights: Sequence[int] | None = None) -> Iterator[Runs]:
    """Runs of pixels, `heights` rows in turn; None for all at once."""
    heights = heights or [len(pixels)]
    top = index = 0
    while top < len(pixels):
        part = pixels[top : top + heights[index % len(heights)]]
        yield Runs.of(part, part != NOTHING, top)
        top += len(part)
        index += 1


def trace_by_push(
    pixels: Pixels,
    heights: Sequence[int] | None = None,
    connectivity: int = 4,
    *,
    quantities: npt.NDArray[np.float64] | None = None,
    band: int = tracing._BAND,
    band_runs: int = tracing._BAND_RUNS,
    **options: object,
) -> list[LatticePolygons]:
    """The polygons of a raster, those of each push by themselves.

    Args:
        pixels: The raster.
        heights: Rows of the strips, in turn; None for one strip.
        connectivity: As the tracer has it.
        quantities: What is to be summed; H x W x S.
        band: Rows whose arcs are simplified together.
        band_runs: Runs with which that happens earlier.
        options: The tracer's other ones.
    """
    n_sums = 0 if quantities is None else quantities.shape[2]
    tracer = tracing.Tracer(*pixels.shape, connectivity, n_sums=n_sums, **options)
    pushes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_BAND", band)
        patch.setattr(tracing, "_BAND_RUNS", band_runs)
        for runs in strips_of(pixels, heights):
            sums = None
            if quantities is not None:
                each = quantities.reshape(-1, n_sums)[: (runs.top + runs.height) * runs.width]
                sums = np.add.reduceat(each, runs.places)
            pushes.append(list(tracer.push(runs, sums)))
    assert_empty(tracer)
    nothing = pushes[-1][-1].select(np.zeros(len(pushes[-1][-1]), np.bool_))
    return [LatticePolygons.joined([nothing, *pieces]) for pieces in pushes]


def trace(
    pixels: Pixels,
    heights: Sequence[int] | None = None,
    connectivity: int = 4,
    **options: object,
) -> LatticePolygons:
    """The polygons of a raster, see `trace_by_push`."""
    return LatticePolygons.joined(trace_by_push(pixels, heights, connectivity, **options))


def assert_empty(tracer: tracing.Tracer) -> None:
    """Every vertex is dealt with, every row for a chain free again, and no region is known."""
    counters = tracer._tables.counters
    assert counters[sweep_tables.N_VERTICES] == counters[sweep_tables.N_GONE]
    assert counters[sweep_tables.N_CHAINS] == counters[sweep_tables.N_FREE_CHAINS]
    assert len(tracer._numbers) == len(tracer._floats) == len(tracer._kin) == 0


def assert_same(left: LatticePolygons, right: LatticePolygons) -> None:
    """The same arrays: features, rings and vertices in the same order."""
    for name in LatticePolygons.__slots__:
        mine, theirs = getattr(left, name), getattr(right, name)
        assert mine.dtype == theirs.dtype, name
        np.testing.assert_array_equal(mine, theirs, err_msg=name)


def geometries(polygons: LatticePolygons) -> Shapes:
    """Each feature as a multipolygon; y grows downwards."""
    xy = np.stack([polygons.x, polygons.y], axis=1).astype(float)
    offsets = (polygons.rings, polygons.parts, polygons.features)
    return shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, xy, offsets)


def assert_valid_coverage(shapes: Shapes) -> None:
    """Every geometry is valid and not empty, and neighbours share their borders."""
    assert set(shapely.is_valid_reason(shapes)) <= {"Valid Geometry"}
    assert (shapely.area(shapes) > 0).all()
    assert len(shapes) == 0 or shapely.coverage_is_valid(shapes)


def owners(polygons: LatticePolygons, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """For each pixel the feature in which its centre lies, -1 where there is none; by rasterio."""
    if not len(polygons):
        return np.full(shape, -1, np.int32)
    shapes = zip(geometries(polygons), range(len(polygons)), strict=True)
    return rasterio.features.rasterize(shapes, shape, fill=-1, dtype=np.int32)


def rasterized(polygons: LatticePolygons, shape: tuple[int, int]) -> Pixels:
    """The raster that the features make."""
    return np.append(polygons.value, NOTHING)[owners(polygons, shape)]


def count_regions(pixels: Pixels, connectivity: int) -> int:
    """How many regions of one class there are; by rasterio."""
    _, numbers = np.unique(pixels, return_inverse=True)
    numbers = numbers.reshape(pixels.shape).astype(np.int32)
    found = rasterio.features.shapes(numbers, pixels != NOTHING, connectivity)
    return sum(1 for _ in found)


def components(is_in: npt.NDArray[np.bool_], connectivity: int) -> list[npt.NDArray[np.bool_]]:
    """Connected pixels, by flood fill."""
    reach = (-1, 0, 1)
    steps = [(i, j) for i in reach for j in reach if connectivity == 8 or i == 0 or j == 0]
    left = {tuple(place) for place in np.argwhere(is_in).tolist()}
    found = []
    while left:
        border = [left.pop()]
        component = np.zeros_like(is_in)
        while border:
            row, column = border.pop()
            component[row, column] = True
            near = left.intersection((row + i, column + j) for i, j in steps)
            left -= near
            border.extend(near)
        found.append(component)
    return found

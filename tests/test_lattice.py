"""Lattice polygons: parts of them, batches, and well-known binary as shapely reads it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.grid import Grid
from glnet_geo.lattice import LatticePolygons
from tests.lattices import (
    assert_same,
    connectivities,
    geometries,
    pixels_of,
    rasters,
    trace,
)

TRANSFORMS = {
    "north-up": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    "south-up": Affine(0.25, 0, -30, 0, 0.75, 12),
    "rotated": Affine(0.3, 0.4, 500_000.1, 0.4, -0.3, 5_000_000.7),
    "rotated, south-up": Affine(0.3, -0.4, 7.1, 0.4, 0.3, 0.7),
    "west to the right": Affine(-1 / 3, 0, 10, 0, -1 / 3, 20),
    "pixels": Affine.identity(),
}


def with_sums(pixels, connectivity):
    """Polygons with areas and sums that tell them apart."""
    quantities = np.arange(2.0 * pixels.size).reshape(*pixels.shape, 2)
    return trace(pixels, None, connectivity, quantities=quantities)


polygons_of = st.builds(with_sums, rasters(), connectivities)


def features_of(polygons):
    """All that is known of each feature, without regard to how it is stored."""
    shapes = geometries(polygons)
    numbers = zip(polygons.value, polygons.pixels, polygons.area, strict=True)
    sums = map(tuple, polygons.sums.tolist())
    return list(zip(shapely.to_wkb(shapes), numbers, sums, strict=True))


@settings(max_examples=60, deadline=None)
@given(polygons_of, st.integers(0, 2**32 - 1), st.sampled_from([0, 0.1, 0.5, 1]))
def test_some_of_the_features(polygons, seed, share):
    is_chosen = np.random.default_rng(seed).random(len(polygons)) < share
    chosen = polygons.select(is_chosen)
    every = features_of(polygons)
    assert features_of(chosen) == [every[k] for k in np.flatnonzero(is_chosen)]
    assert chosen.rings[-1] == len(chosen.x) and len(chosen.parts) > 0
    for name in LatticePolygons.__slots__:
        assert getattr(chosen, name).dtype == getattr(polygons, name).dtype


@settings(max_examples=60, deadline=None)
@given(polygons_of, st.integers(1, 200))
def test_batches_are_as_large_as_they_may_be(polygons, n_vertices):
    batches = list(polygons.batches(n_vertices))
    sizes = [len(batch.x) for batch in batches]
    firsts = [int(batch.first_vertices[1]) for batch in batches]
    assert all(len(batch) >= 1 for batch in batches)
    for batch, size, following in zip(batches, sizes, [*firsts, n_vertices + 1][1:], strict=True):
        # One more feature would be too much.
        assert size <= n_vertices or len(batch) == 1
        assert size + following > n_vertices
    if batches:
        assert_same(LatticePolygons.joined(batches), polygons)
    else:
        assert len(polygons) == 0


def test_a_feature_larger_than_a_batch():
    polygons = trace(pixels_of("12.3.3 111333 4.1.3. 441115"))
    sizes = np.diff(polygons.first_vertices).tolist()
    assert sizes == [5, 14, 16, 7, 5]
    assert [len(batch) for batch in polygons.batches(10)] == [1] * 5
    assert [len(batch) for batch in polygons.batches(18)] == [1, 1, 1, 2]
    assert [len(batch) for batch in polygons.batches(19)] == [2, 1, 2]
    assert [len(batch) for batch in polygons.batches(1)] == [1] * 5
    assert [len(batch) for batch in polygons.batches(10**9)] == [5]


@settings(max_examples=60, deadline=None)
@given(st.lists(polygons_of, min_size=1, max_size=4))
def test_features_of_several(pieces):
    joined = LatticePolygons.joined(pieces)
    assert features_of(joined) == [feature for one in pieces for feature in features_of(one)]


@settings(max_examples=60, deadline=None)
@given(rasters(nodata=False), connectivities)
def test_all_of_a_class_as_one(pixels, connectivity):
    polygons = with_sums(pixels, connectivity)
    value = pixels[0, 0]
    same = polygons.select(polygons.value == value)
    dissolved = same.dissolved()
    (shape,) = geometries(dissolved)
    assert shape.is_valid
    assert shape.equals(shapely.union_all(geometries(same)))
    is_own = pixels == value
    own = np.arange(2.0 * pixels.size).reshape(-1, 2)[is_own.ravel()].sum(axis=0)
    assert dissolved.value.tolist() == [value]
    assert dissolved.pixels.tolist() == dissolved.area.tolist() == [is_own.sum()]
    assert dissolved.sums.tolist() == [own.tolist()]


def on_the_ground(polygons, transform, is_multi):
    """The shapes that should come out, by shapely; exteriors counter-clockwise."""
    a, b, c, d, e, f = transform[:6]

    def place(xy):
        x, y = xy.T
        return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)

    shapes = shapely.transform(geometries(polygons), place)
    shapes = shapely.orient_polygons(shapes, exterior_cw=False)
    return shapes if is_multi else shapely.get_parts(shapes)


def split(data, places):
    return [data[start:stop].tobytes() for start, stop in pairwise(places)]


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(max_examples=25, deadline=None)
@given(pixels=rasters(), connectivity=connectivities)
def test_well_known_binary_as_shapely_reads_it(name, pixels, connectivity):
    grid = Grid(*pixels.shape, TRANSFORMS[name])
    polygons = trace(pixels, None, connectivity)
    for is_multi in (True, False) if connectivity == 4 else (True,):
        data, places = polygons.to_wkb(grid, is_multi)
        assert places[0] == 0 and places[-1] == len(data) and data.dtype == np.uint8
        found = shapely.from_wkb(split(data, places))
        expected = on_the_ground(polygons, grid.transform, is_multi)
        assert len(found) == len(expected) == len(polygons)
        assert shapely.equals_identical(*map(shapely.normalize, (found, expected))).all()
        assert shapely.is_valid(found).all()
        for part in shapely.get_parts(found):
            assert part.exterior.is_ccw and not any(ring.is_ccw for ring in part.interiors)


@pytest.mark.parametrize("is_multi", [True, False])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_well_known_binary_byte_for_byte(name, is_multi):
    pixels = pixels_of("1111. 1211. 11133 .1.33")
    polygons = trace(pixels)
    data, places = polygons.to_wkb(Grid(*pixels.shape, TRANSFORMS[name]), is_multi)
    found = split(data, places)
    shapes = shapely.from_wkb(found)
    kind = shapely.GeometryType.MULTIPOLYGON if is_multi else shapely.GeometryType.POLYGON
    assert set(shapely.get_type_id(shapes)) == {kind}
    assert shapely.to_wkb(shapes, byte_order=1, flavor="iso").tolist() == found


def test_no_features_make_no_bytes():
    empty = trace(pixels_of("... ..."))
    data, places = empty.to_wkb(Grid(2, 3), True)
    assert len(data) == 0 and places.tolist() == [0]
    assert list(empty.batches(5)) == []
    assert_same(LatticePolygons.joined([empty, empty]), empty)

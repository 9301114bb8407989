"""Polygons whose vertices are lattice points: corners of pixels, x a column and y a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.grid import Grid
from glnet_geo.kernels import kernel

_POLYGON, _MULTIPOLYGON = 3, 6  # geometry types of WKB


@dataclass(frozen=True, slots=True, eq=False)
class LatticePolygons:
    """Features as ragged arrays.

    A feature consists of one part, a polygon; of several that touch in corners with
    8-connectivity. A part's first ring is its outside; rings repeat their first vertex at the end,
    and keep the inside on their left as a screen shows it (y down).

    Attributes:
        x: Columns of the vertices, int32.
        y: Rows of the vertices, int32.
        rings: For each ring its first vertex, and at the end the number of vertices.
        parts: For each part its first ring, and at the end the number of rings.
        features: For each feature its first part, and at the end the number of parts.
        value: For each feature its class id.
        pixels: For each feature its number of pixels.
        area: For each feature the sum of its pixels' weights; those of a hole that was filled
            count like its topmost row's.
        sums: For each feature the sums of what was to be summed over its pixels; F x S.
    """

    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    rings: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64]
    features: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    area: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    @property
    def first_rings(self) -> npt.NDArray[np.int64]:
        """For each feature its first ring, and at the end the number of rings."""
        return self.parts[self.features]

    @property
    def first_vertices(self) -> npt.NDArray[np.int64]:
        """For each feature its first vertex, and at the end the number of vertices."""
        return self.rings[self.first_rings]

    def select(self, is_chosen: npt.NDArray[np.bool_]) -> LatticePolygons:
        """Some of the features, in their order."""
        if is_chosen.all():
            return self
        of_part = np.repeat(is_chosen, np.diff(self.features))
        of_ring = np.repeat(of_part, np.diff(self.parts))
        of_vertex = np.repeat(of_ring, np.diff(self.rings))
        return LatticePolygons(
            self.x[of_vertex],
            self.y[of_vertex],
            _offsets(np.diff(self.rings)[of_ring]),
            _offsets(np.diff(self.parts)[of_part]),
            _offsets(np.diff(self.features)[is_chosen]),
            self.value[is_chosen],
            self.pixels[is_chosen],
            self.area[is_chosen],
            self.sums[is_chosen],
        )

    def batches(self, n_vertices: int) -> Iterator[LatticePolygons]:
        """The features in batches of about so many vertices, of at least one feature."""
        first = self.first_vertices
        start = 0
        while start < len(self):
            stop = int(np.searchsorted(first, first[start] + n_vertices, "right")) - 1
            stop = min(max(stop, start + 1), len(self))
            yield self._between(start, stop)
            start = stop

    def _between(self, start: int, stop: int) -> LatticePolygons:
        features = self.features[start : stop + 1]
        parts = self.parts[features[0] : features[-1] + 1]
        rings = self.rings[parts[0] : parts[-1] + 1]
        vertices, chosen = slice(rings[0], rings[-1]), slice(start, stop)
        return LatticePolygons(
            self.x[vertices],
            self.y[vertices],
            rings - rings[0],
            parts - parts[0],
            features - features[0],
            self.value[chosen],
            self.pixels[chosen],
            self.area[chosen],
            self.sums[chosen],
        )

    @classmethod
    def joined(cls, pieces: Sequence[LatticePolygons]) -> LatticePolygons:
        """The features of several, one after the other; at least one of them."""

        def offsets(name: str) -> npt.NDArray[np.int64]:
            return _offsets(np.concatenate([np.diff(getattr(one, name)) for one in pieces]))

        def values(name: str) -> npt.NDArray[Any]:
            return np.concatenate([getattr(one, name) for one in pieces])

        return cls(
            values("x"),
            values("y"),
            offsets("rings"),
            offsets("parts"),
            offsets("features"),
            *(values(name) for name in ("value", "pixels", "area", "sums")),
        )

    def dissolved(self) -> LatticePolygons:
        """All of them, which are of one class, as one feature."""
        return LatticePolygons(
            self.x,
            self.y,
            self.rings,
            self.parts,
            self.features[[0, -1]],
            self.value[:1],
            self.pixels.sum(keepdims=True),
            self.area.sum(keepdims=True),
            self.sums.sum(axis=0, keepdims=True),
        )

    def to_wkb(
        self, grid: Grid, is_multi: bool
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """The features as well-known binary (OGC 06-103r4, 8.2), little-endian.

        Outsides run counter-clockwise on the ground, as OGC 06-103r4, 6.1.11.1 shows them.

        Args:
            grid: The raster's, for the coordinates.
            is_multi: Whether features are multipolygons; else each has one part.

        Returns:
            All their bytes, and where each begins and the last one ends.
        """
        coordinates = np.empty((len(self.x), 2), "<f8")
        a, b, c, d, e, f = tuple(grid.transform)[:6]
        coordinates[:, 0] = a * self.x + b * self.y + c
        coordinates[:, 1] = d * self.x + e * self.y + f
        n_parts, n_rings = np.diff(self.features), np.diff(self.first_rings)
        n_vertices = np.diff(self.first_vertices)
        sizes = 9 * (n_parts + is_multi) + 4 * n_rings + 16 * n_vertices
        places = _offsets(sizes)
        data = np.empty(places[-1], np.uint8)
        # A transform with a positive determinant keeps the screen's sense of rotation.
        is_turned = grid.transform.determinant > 0
        _write_wkb(
            self.features,
            self.parts,
            self.rings,
            coordinates.view(np.uint8),
            is_multi,
            is_turned,
            places,
            data,
        )
        return data, places


def _offsets(counts: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


@kernel
def _write_wkb(
    features: npt.NDArray[np.int64],
    parts: npt.NDArray[np.int64],
    rings: npt.NDArray[np.int64],
    coordinates: npt.NDArray[np.uint8],
    is_multi: bool,
    is_turned: bool,
    places: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
) -> None:
    for feature in range(len(features) - 1):
        place = places[feature]
        if is_multi:
            n_parts = features[feature + 1] - features[feature]
            place = _write_header(_MULTIPOLYGON, n_parts, place, data)
        for part in range(features[feature], features[feature + 1]):
            place = _write_header(_POLYGON, parts[part + 1] - parts[part], place, data)
            for ring in range(parts[part], parts[part + 1]):
                start, stop = rings[ring], rings[ring + 1]
                place = _write_number(stop - start, place, data)
                for k in range(start, stop):
                    vertex = start + stop - 1 - k if is_turned else k
                    for byte in range(16):
                        data[place + byte] = coordinates[vertex, byte]
                    place += 16


@kernel
def _write_header(kind: int, count: int, place: int, data: npt.NDArray[np.uint8]) -> int:
    """Byte order, geometry type and number of members; the place behind them."""
    data[place] = 1
    return _write_number(count, _write_number(kind, place + 1, data), data)


@kernel
def _write_number(number: int, place: int, data: npt.NDArray[np.uint8]) -> int:
    """Four bytes, the least one first; the place behind them."""
    for byte in range(4):
        data[place + byte] = number >> (8 * byte) & 255
    return place + 4

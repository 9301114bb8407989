"""Where a raster lies on the ground, and how large its pixels are there."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid
from glnet_geo.ground import Floats, Ground
from glnet_geo.remote import ScenePath

# EPSG's method, and Esri's older CRS 102113, which projects from a sphere instead.
_WEB_MERCATOR = re.compile(r'METHOD\["Popular Visualisation|PROJCRS\["[^"]*Web.?Mercator')
_WGS84 = (6378137.0, 298.257223563)  # semi-major axis in metres, inverse flattening
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


def grid_of(path: ScenePath, dataset: Any) -> Grid:
    """The grid of an open raster.

    Args:
        path: The raster, for messages.
        dataset: It, as rasterio opened it.

    Raises:
        RasterError: It has only ground control points or RPCs instead of a transform.
    """
    crs = dataset.crs
    if dataset.transform.is_identity:
        for kind, found in (
            ("ground control points", dataset.gcps[0]),
            ("rational polynomial coefficients", dataset.rpcs),
        ):
            if found:
                raise RasterError(
                    f"{path} is placed by {kind} only. Rectify it first: "
                    f"gdalwarp {'-rpc ' if dataset.rpcs else ''}{path} rectified.tif"
                )
    wkt = crs.to_wkt(version="WKT2_2019") if crs else None
    grid = Grid(dataset.height, dataset.width, dataset.transform, wkt)
    ground = ground_of(grid)
    return grid if ground.unit == "px" else replace(grid, pixel_area_m2=ground.mean_area)


def ground_of(grid: Grid) -> Ground:
    """How large the pixels of a grid are; every area that is printed or written comes from here.

    Projected CRSs but Web Mercator are planar: an area is pixels times the area of a pixel. In
    geographic CRSs and in Web Mercator a pixel has the area that it has on the ellipsoid, and so
    in every equal-area projection, among them the azimuthal one (LAEA) around the scene's centre
    that the rule names. It is taken in closed form: the projection itself has no place for the
    far side of the globe, and loses the digits of small pixels.

    A row of a north-up grid has one area and one metric. Where rows do not follow the parallels,
    a row's pixels all count like the one at the grid's centre column, and the rule says so.

    Pixels are 1 px without CRS or transform, in geocentric and local CRSs, in geographic ones
    with a moved pole, and where rows lie beyond the poles.
    """
    place = grid.transform
    nowhere = Ground.uniform("pixels", "px", grid.height)
    crs = _parsed(grid.crs)
    if crs is None or place.is_identity or not place.determinant:
        return nowhere
    wkt = crs.to_wkt(version="WKT2_2019")
    if crs.is_projected and not _WEB_MERCATOR.search(wkt):
        return _planar(grid, crs.linear_units_factor[1])
    if crs.is_projected:
        graticule = _Graticule.web_mercator()
    elif crs.is_geographic and "DERIVINGCONVERSION" not in wkt:
        graticule = _Graticule.geographic(wkt, crs.units_factor[1])
    else:
        return nowhere
    reaches_beyond = np.abs(_centre_column(grid, 0.5)) > graticule.pole + _half_pixel(grid) / 100
    return nowhere if reaches_beyond.any() else _curved(grid, graticule)


def _parsed(crs: str | None) -> Any:
    """GDAL does not read back all that it writes, such as a local CRS without units."""
    try:
        return None if crs is None else CRS.from_user_input(crs)
    except CRSError:
        return None


def _planar(grid: Grid, unit_m: float) -> Ground:
    place, unit_m2 = grid.transform, unit_m**2
    metric = (
        (place.a * place.a + place.d * place.d) * unit_m2,
        (place.a * place.b + place.d * place.e) * unit_m2,
        (place.b * place.b + place.e * place.e) * unit_m2,
    )
    area = float(abs(place.determinant) * unit_m2)
    return Ground.uniform(f"planar in {grid.crs_label}", "m", grid.height, area, metric)


@dataclass(frozen=True, slots=True)
class _Graticule:
    """A CRS in which x depends on the longitude alone and y on the latitude alone.

    Attributes:
        semi_major: Semi-major axis of the ellipsoid in metres.
        eccentricity2: Its eccentricity, squared.
        radians: Radians of longitude in a unit of x.
        is_mercator: Whether y is that of Mercator's map of a sphere, else the latitude.
        pole: y of the north pole.
        meridian: Longitude in degrees where x is 0.
    """

    semi_major: float
    eccentricity2: float
    radians: float
    is_mercator: bool
    pole: float
    meridian: float = 0.0

    @classmethod
    def web_mercator(cls) -> _Graticule:
        """Latitudes of WGS 84 on the map of a sphere, EPSG method 1024."""
        return cls(_WGS84[0], _squared_eccentricity(_WGS84[1]), 1 / _WGS84[0], True, math.inf)

    @classmethod
    def geographic(cls, wkt: str, radians: float) -> _Graticule:
        """That of a geographic CRS in WKT2 whose unit is so many radians."""
        number = r"([-+.\deE]+)"
        ellipsoid = re.search(
            rf'ELLIPSOID\["[^"]*",{number},{number},LENGTHUNIT\["[^"]*",{number}', wkt
        )
        meridian = re.search(rf'PRIMEM\["[^"]*",{number},ANGLEUNIT\["[^"]*",{number}', wkt)
        if ellipsoid is None or meridian is None:
            raise ValueError(f"no ellipsoid or prime meridian in {wkt}")
        size, inverse_flattening, unit_m = map(float, ellipsoid.groups())
        return cls(
            size * unit_m,
            _squared_eccentricity(inverse_flattening),
            radians,
            False,
            math.pi / 2 / radians,
            math.degrees(math.prod(map(float, meridian.groups()))),
        )

    def latitude(self, y: Floats) -> Floats:
        """Radians."""
        angle = y * self.radians
        latitude: Floats = np.arctan(np.sinh(angle)) if self.is_mercator else angle
        return latitude

    def scales(self, y: Floats) -> tuple[Floats, Floats]:
        """Metres on the ellipsoid in a unit of x and in a unit of y.

        The radii are those of the parallel and of the meridian's curvature, see J. P. Snyder, Map
        Projections: A Working Manual, USGS Professional Paper 1395 (1987), equations 4-18 to 4-21.
        """
        latitude = self.latitude(y)
        cosine = np.cos(latitude)
        shape = 1 - self.eccentricity2 * np.sin(latitude) ** 2
        east = self.semi_major * cosine / np.sqrt(shape) * self.radians
        north = self.semi_major * (1 - self.eccentricity2) / shape**1.5 * self.radians
        return east, north * cosine if self.is_mercator else north


def _squared_eccentricity(inverse_flattening: float) -> float:
    """WKT says 0 for a sphere."""
    flattening = 1 / inverse_flattening if inverse_flattening else 0.0
    return flattening * (2 - flattening)


def _centre_column(grid: Grid, first: float, step: float = 1.0) -> Floats:
    """The y in the CRS at the centre column, for rows from `first` to the lower border."""
    place = grid.transform
    rows = np.arange(first, grid.height + step / 4, step)
    y: Floats = place.d * (grid.width / 2) + place.e * rows + place.f
    return y


def _half_pixel(grid: Grid) -> float:
    """How far a pixel reaches from its centre in y."""
    return (abs(grid.transform.d) + abs(grid.transform.e)) / 2


def _curved(grid: Grid, graticule: _Graticule) -> Ground:
    place, pole = grid.transform, graticule.pole
    corners = np.clip(_centre_column(grid, 0.0, 0.5), -pole, pole)
    east, north = (scale**2 for scale in graticule.scales(corners))
    metric = np.stack(
        [
            east * place.a * place.a + north * place.d * place.d,
            east * place.a * place.b + north * place.d * place.e,
            east * place.b * place.b + north * place.e * place.e,
        ]
    )
    rule = f"equal-area (LAEA at {_centre_label(grid, graticule)})"
    if place.d:
        rule += ", rows as at the centre column"
    return Ground(rule, "m", _row_areas(grid, graticule), metric)


def _row_areas(grid: Grid, graticule: _Graticule) -> Floats:
    """Square metres of the pixels at the centre column.

    Five nodes of Gauss integrate a row of up to ten degrees to the last digits.
    """
    y, half, pole = _centre_column(grid, 0.5), _half_pixel(grid), graticule.pole
    # Rows of global grids whose pixels' centres lie on the poles end there.
    above, below = np.maximum(y + half - pole, 0), np.maximum(-pole - y + half, 0)
    middle, reach = y + (below - above) / 2, half - (above + below) / 2
    east, north = graticule.scales(middle[:, None] + reach[:, None] * _NODES)
    areas: Floats = (east * north) @ (_WEIGHTS / 2) * (reach / half)
    return areas * abs(grid.transform.determinant)


def _centre_label(grid: Grid, graticule: _Graticule) -> str:
    """The grid's centre as 25.10 N, 55.30 E."""
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    latitude = math.degrees(graticule.latitude(np.array(y)))
    longitude = (math.degrees(x * graticule.radians) + graticule.meridian + 180) % 360 - 180
    return (
        f"{abs(latitude):.2f} {'S' if latitude < 0 else 'N'}, "
        f"{abs(longitude):.2f} {'W' if longitude < 0 else 'E'}"
    )

"""What `glnet-geo vectorize` is measured against, each to be run in a process of its own.

    python benchmarks/polygonizers.py gdal MAP.tif OUT.gpkg
    python benchmarks/polygonizers.py shapes MAP.tif OUT.gpkg

`gdal` makes the calls that `gdal_polygonize` makes: GDALPolygonize with the band's mask into a new
GeoPackage layer, in one transaction, with a spatial index and GDAL's default cache (5 % of the
machine's memory). `shapes` is `rasterio.features.shapes` on the whole array, made into shapely
polygons and written with pyogrio. Both print a line of JSON: GDAL's version and cache, or the
seconds that went by before writing.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
import time
from pathlib import Path

_POLYGON, _INTEGER = 3, 0  # wkbPolygon, OFTInteger

# Result and arguments of C functions: p pointer, s string, i int, . nothing. gdal.org, C API.
_SIGNATURES = {
    "CPLSetConfigOption": ".ss",
    "GDALAllRegister": ".",
    "GDALClose": "ip",
    "GDALCreate": "ppsiiiip",
    "GDALDatasetCreateLayer": "ppspip",
    "GDALGetCacheMax64": "l",
    "GDALGetDriverByName": "ps",
    "GDALGetMaskBand": "pp",
    "GDALGetRasterBand": "ppi",
    "GDALGetSpatialRef": "pp",
    "GDALOpen": "psi",
    "GDALPolygonize": "ipppippp",
    "GDALVersionInfo": "ss",
    "OGR_Fld_Create": "psi",
    "OGR_L_CommitTransaction": "ip",
    "OGR_L_CreateField": "ippi",
    "OGR_L_StartTransaction": "ip",
    "OSRSetPROJSearchPaths": ".p",
}
_TYPES = {
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "i": ctypes.c_int,
    "l": ctypes.c_int64,
    ".": None,
}


def load_gdal() -> ctypes.CDLL:
    """The GDAL library in pyogrio's wheel, which has the drivers of GeoTIFF and GeoPackage.

    Python's part of pyogrio isn't loaded, so that memory and time are GDAL's own.
    """
    package = Path(importlib.util.find_spec("pyogrio").origin).parent
    libraries = [*(package.parent / "pyogrio.libs").glob("libgdal*")]
    if not libraries:
        sys.exit(f"no libgdal beside {package}: install pyogrio from its wheel")
    gdal = ctypes.CDLL(str(libraries[0]))
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(gdal, name)
        function.restype = _TYPES[result]
        function.argtypes = [_TYPES[one] for one in arguments]
    gdal.CPLSetConfigOption(b"GDAL_DATA", str(package / "gdal_data").encode())
    folders = (ctypes.c_char_p * 2)(str(package / "proj_data").encode(), None)
    gdal.OSRSetPROJSearchPaths(folders)
    gdal.GDALAllRegister()
    return gdal


def polygonize(source: str, output: str) -> None:
    """GDALPolygonize, straight to GeoPackage."""
    gdal = load_gdal()
    raster = gdal.GDALOpen(source.encode(), 0)
    band = gdal.GDALGetRasterBand(raster, 1)
    driver = gdal.GDALGetDriverByName(b"GPKG")
    dataset = gdal.GDALCreate(driver, output.encode(), 0, 0, 0, 0, None)
    crs = gdal.GDALGetSpatialRef(raster)
    layer = gdal.GDALDatasetCreateLayer(dataset, b"out", crs, _POLYGON, None)
    failed = gdal.OGR_L_CreateField(layer, gdal.OGR_Fld_Create(b"DN", _INTEGER), 1)
    failed |= gdal.OGR_L_StartTransaction(layer)
    mask = gdal.GDALGetMaskBand(band)
    failed |= gdal.GDALPolygonize(band, mask, layer, 0, None, None, None)
    failed |= gdal.OGR_L_CommitTransaction(layer)
    failed |= gdal.GDALClose(dataset) | gdal.GDALClose(raster)
    if failed:
        sys.exit(f"GDALPolygonize failed on {source}")
    version = gdal.GDALVersionInfo(b"RELEASE_NAME").decode()
    print(json.dumps({"gdal": version, "cache_bytes": gdal.GDALGetCacheMax64()}))


def shapes(source: str, output: str) -> None:
    """`rasterio.features.shapes` on the whole array."""
    started = time.perf_counter()
    import numpy as np
    import pyogrio.raw
    import rasterio
    import rasterio.features
    import shapely
    from shapely.geometry import shape

    with rasterio.open(source) as dataset:
        labels, mask = dataset.read(1), dataset.read_masks(1)
        transform, crs = dataset.transform, dataset.crs.to_string()
    found = rasterio.features.shapes(labels, mask=mask, transform=transform)
    polygons, values = zip(*((shape(polygon), value) for polygon, value in found), strict=True)
    print(json.dumps({"seconds_before_writing": time.perf_counter() - started}))
    pyogrio.raw.write(
        output,
        shapely.to_wkb(polygons),
        [np.array(values, np.int32)],
        ["DN"],
        layer="out",
        driver="GPKG",
        geometry_type="Polygon",
        crs=crs,
    )


def main() -> None:
    """Runs one of them."""
    {"gdal": polygonize, "shapes": shapes}[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()

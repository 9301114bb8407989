"""A raster in horizontal parts, as a GDAL virtual raster over their files.

The format is https://gdal.org/drivers/raster/vrt.html. What a finished map carries (place, colours,
nodata, tags) stands here alone; the parts are plain arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from glnet_geo.grid import Grid
from glnet_geo.legend import NODATA
from glnet_geo.sidecar import ClassSet
from glnet_geo.uncertainty import ONE

WIDE_NODATA = 65535
"""What stands for no data where classes are too many for bytes."""


def mosaic_xml(
    parts: Sequence[tuple[str, int]],
    grid: Grid,
    legend: ClassSet,
    tags: Mapping[str, str],
    nodata: int = NODATA,
) -> bytes:
    """The virtual raster, UTF-8.

    Args:
        parts: Path and height of each part, from the top; all are as wide as the grid.
        grid: The whole raster's grid.
        legend: Its classes.
        tags: More tags besides the classes' names.
        nodata: What stands for no data: `NODATA` in rasters of bytes, or `WIDE_NODATA`.

    Raises:
        ValueError: The parts are not as high as the grid.
    """
    root = dataset_element(grid, legend, tags)
    kind = "Byte" if nodata == NODATA else "UInt16"
    band = ET.SubElement(root, "VRTRasterBand", dataType=kind, band="1")
    ET.SubElement(band, "Description").text = legend.theme
    ET.SubElement(band, "NoDataValue").text = str(nodata)
    ET.SubElement(band, "ColorInterp").text = "Palette"
    _add_colors(band, legend, nodata)
    _add_parts(band, parts, grid)
    return ET.tostring(root)


def layer_mosaic_xml(
    parts: Sequence[tuple[str, int]], grid: Grid, bands: Sequence[str], tags: Mapping[str, str]
) -> bytes:
    """The virtual raster of shares, 0 to `ONE` in steps of a byte, UTF-8.

    Args:
        parts: Path and height of each part, from the top; all are as wide as the grid.
        grid: The whole raster's grid.
        bands: What the bands are called.
        tags: Its tags.

    Raises:
        ValueError: The parts are not as high as the grid.
    """
    root = _placed_element(grid, tags)
    for number, name in enumerate(bands, 1):
        band = ET.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        ET.SubElement(band, "Description").text = name
        ET.SubElement(band, "NoDataValue").text = str(NODATA)
        ET.SubElement(band, "ColorInterp").text = "Gray" if number == 1 else "Undefined"
        # Programs that heed it, such as QGIS, show 0 to 1.
        ET.SubElement(band, "Offset").text = "0"
        ET.SubElement(band, "Scale").text = repr(1 / ONE)
        _add_parts(band, parts, grid)
    return ET.tostring(root)


def dataset_element(grid: Grid, legend: ClassSet, tags: Mapping[str, str]) -> ET.Element:
    """A virtual raster without a band: where it lies, and the tags of a class raster."""
    return _placed_element(grid, {**tags, **{f"CLASS_{c.id}": c.name for c in legend.classes}})


def _placed_element(grid: Grid, tags: Mapping[str, str]) -> ET.Element:
    """A virtual raster without a band."""
    size = {"rasterXSize": str(grid.width), "rasterYSize": str(grid.height)}
    root = ET.Element("VRTDataset", size)
    if grid.crs is not None:
        ET.SubElement(root, "SRS").text = grid.crs
    # An identity transform would pass for a place on the ground.
    if not grid.transform.is_identity:
        numbers = ", ".join(repr(float(value)) for value in grid.transform.to_gdal())
        ET.SubElement(root, "GeoTransform").text = numbers
    metadata = ET.SubElement(root, "Metadata")
    for key, value in tags.items():
        ET.SubElement(metadata, "MDI", key=key).text = value
    return root


def _add_colors(band: ET.Element, legend: ClassSet, nodata: int) -> None:
    table = ET.SubElement(band, "ColorTable")
    colors = {c.id: (*c.rgb, 255) for c in legend.classes} | {nodata: (255, 255, 255, 0)}
    for value in range(nodata + 1):
        color = colors.get(value, (0, 0, 0, 255))
        ET.SubElement(table, "Entry", {f"c{k}": str(part) for k, part in enumerate(color, 1)})


def _add_parts(band: ET.Element, parts: Sequence[tuple[str, int]], grid: Grid) -> None:
    """Adds the parts' band of the same number."""
    total = sum(rows for _, rows in parts)
    if total != grid.height:
        raise ValueError(f"parts of {total} rows do not make {grid.height}")
    top = 0
    for name, height in parts:
        source = ET.SubElement(band, "SimpleSource")
        ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = name
        ET.SubElement(source, "SourceBand").text = band.get("band")
        size = {"xSize": str(grid.width), "ySize": str(height)}
        ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
        ET.SubElement(source, "DstRect", {"xOff": "0", "yOff": str(top), **size})
        top += height

"""Virtual rasters that are mosaics, and those that are scenes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from glnet_geo.errors import BatchError
from glnet_geo.vrt_tiles import vrt_tiles

VRT = Path("mosaics/all.vrt")


def source(name="a.tif", left=0, top=0, band=1, width=10, height=5, kind="Simple", extra="") -> str:
    size = f'xSize="{width}" ySize="{height}"'
    return f"""<{kind}Source>
      <SourceFilename relativeToVRT="1">{name}</SourceFilename>
      <SourceBand>{band}</SourceBand>
      <SourceProperties RasterXSize="{width}" RasterYSize="{height}" DataType="Byte"/>
      <SrcRect xOff="0" yOff="0" {size}/>
      <DstRect xOff="{left}" yOff="{top}" {size}/>
      {extra}</{kind}Source>"""


def band(*sources: str, attributes="") -> str:
    return f'<VRTRasterBand dataType="Byte" {attributes}>{"".join(sources)}</VRTRasterBand>'


def document(*bands: str, attributes="") -> bytes:
    return f'<VRTDataset rasterXSize="20" {attributes}>{"".join(bands)}</VRTDataset>'.encode()


def mosaic(n_bands: int = 3) -> bytes:
    """Two tiles side by side."""
    return document(
        *(
            band(source("a.tif", band=n), source("b.tif", 10, band=n, kind="Complex"))
            for n in range(1, n_bands + 1)
        )
    )


def tiles(content: bytes) -> list[str]:
    return [str(tile) for tile in vrt_tiles(VRT, content)]


class TestMosaics:
    @pytest.mark.parametrize("n_bands", [1, 4])
    def test_tiles_side_by_side(self, n_bands: int) -> None:
        assert tiles(mosaic(n_bands)) == ["mosaics/a.tif", "mosaics/b.tif"]

    def test_nodata_masks_and_places_between_pixels(self) -> None:
        nodata = "<NODATA>0</NODATA><UseMaskBand>true</UseMaskBand>"
        content = document(
            band(
                "<NoDataValue>0</NoDataValue>",
                source("sub/a.tif", kind="Complex", extra=nodata),
                source("b.tif", 9.6, 0.3),
            ),
            f"<MaskBand>{band(source('c.tif'))}</MaskBand>",
        )
        assert tiles(content) == ["mosaics/sub/a.tif", "mosaics/b.tif"]

    def test_rounded_sizes(self) -> None:
        size = b'DstRect xOff="10" yOff="0" xSize='
        content = mosaic(1).replace(size + b'"10"', size + b'"9.99999999998"')
        assert b"9.99999999998" in content
        assert len(tiles(content)) == 2

    def test_paths_that_are_not_relative(self) -> None:
        content = mosaic(1).replace(b'"1">a.tif', b'"0">/abs/a.tif')
        content = content.replace(b">b.tif", b">/vsicurl/https://x.org/b.tif")
        assert tiles(content) == ["/abs/a.tif", "/vsicurl/https://x.org/b.tif"]

    def test_many(self) -> None:
        places = [(x, y) for x in range(100) for y in range(100)]
        random.Random(1).shuffle(places)
        # One is wider than all the others together.
        sources = [source(f"{x}_{y}.tif", 10 * x, 5 * y) for x, y in places]
        content = document(band(*sources, source("wide.tif", 0, 500, width=1000)))
        started = time.perf_counter()
        assert len(tiles(content)) == 10_001
        assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "content",
    [
        document(),
        document(band()),
        document(band(source())),
        document(band(source("r.tif")), band(source("g.tif"))),
        document(band(source("a.tif"), source("b.tif", 8))),
        document(band(source("a.tif"), source("b.tif", 4, 2))),
        document(band(source("a.tif"), source("a.tif", 10))),
        document(band(source("a.tif", band=2), source("b.tif", 10, band=2))),
        document(band(source("a.tif", band="mask,1"), source("b.tif", 10, band="mask,1"))),
        document(band(source(), source("b.tif", 10), attributes='subClass="VRTDerivedRasterBand"')),
        mosaic().replace(b"<VRTDataset", b'<VRTDataset subClass="VRTWarpedDataset"'),
        mosaic(1).replace(b'DstRect xOff="10" yOff="0" xSize="10"', b'DstRect xOff="10" xSize="5"'),
        mosaic(1).replace(b'SrcRect xOff="0"', b'SrcRect xOff="1"'),
        mosaic(1).replace(b'RasterXSize="10"', b'RasterXSize="11"'),
        mosaic(1).replace(b'xOff="10"', b'xOff="nan"'),
        mosaic(1).replace(b'xOff="10"', b'xOff="ten"'),
        mosaic(1).replace(b">a.tif", b'>NETCDF:"a.nc":b'),
        mosaic(1).replace(b">a.tif", b">"),
        document(band(source(), source("b.tif", 10, extra="<ScaleRatio>2</ScaleRatio>"))),
        document(band(source(), source("b.tif", 10, extra="<LUT>0:0,1:5</LUT>"))),
        document(band(source(), source("b.tif", 10), "<KernelFilteredSource/>")),
    ],
)
def test_scenes_by_themselves(content: bytes) -> None:
    assert tiles(content) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<VRTDataset>",
        b"<html/>",
        b"II*\0",
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><VRTDataset>&a;</VRTDataset>',
        b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><VRTDataset>&b;</VRTDataset>',
        b'<?xml version="1.0" encoding="nonsense"?><VRTDataset/>',
    ],
)
def test_no_virtual_rasters(content: bytes) -> None:
    with pytest.raises(BatchError, match=r"all\.vrt is no virtual raster"):
        vrt_tiles(VRT, content)

"""What strangers' files may be: checks that need no GDAL.

docs/security.md says what they promise, and what they do not.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.remote import ScenePath, is_remote

_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",  # BigTIFF
    b"MM\0+": "GTiff",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}

MAX_PIXELS = 10**10
"""Of a scene: 100,000 x 100,000."""
MAX_BANDS = 512
MAX_BLOCK_BYTES = 1 << 27
"""Of a block of pixels in all bands: what is decoded, and held, at once."""
MAX_PICTURE_BYTES = 1 << 30
"""Of a picture (PNG, JPEG, JPEG 2000), which a decoder may hold whole."""
MAX_IMAGES = 100
"""In a GeoTIFF: the scene, its overviews and their masks."""


def safe_file(path: ScenePath) -> Path:
    """A file that may be opened, without links on the way to it.

    Args:
        path: What is to be read.

    Raises:
        GlnetGeoError: It comes over the network or lies in one of GDAL's file systems, does not
            exist, is no regular file, or is a link out of its folder.
    """
    text = str(path)
    if is_remote(path):
        raise GlnetGeoError(f"{text} is no local file, and --safe reads no others. Download it.")
    named = Path(path)
    try:
        real, folder = named.resolve(strict=True), named.parent.resolve(strict=True)
        mode = real.stat().st_mode
    except FileNotFoundError:
        raise GlnetGeoError(f"{text} does not exist.") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise GlnetGeoError(f"{text} cannot be read: {error}.") from None
    if not stat.S_ISREG(mode):
        raise GlnetGeoError(f"{text} is no regular file, and --safe reads no others.")
    if not real.is_relative_to(folder):
        raise GlnetGeoError(f"{text} is a link out of its folder, which --safe does not follow.")
    return real


def driver_of(path: ScenePath, real: Path) -> str:
    """The one GDAL driver that a raster is opened with, by its first bytes.

    They are formats of single files, which name no others.

    Args:
        path: The raster, for the message.
        real: Its file.

    Raises:
        RasterError: It is of another format.
    """
    try:
        with real.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise RasterError(f"{path} cannot be read: {error.strerror}.") from None
    for start, driver in _DRIVERS.items():
        if head.startswith(start):
            return driver
    raise RasterError(
        f"{path} is no GeoTIFF, PNG, JPEG or JPEG 2000, and --safe reads nothing else."
    )


def check_inside(path: ScenePath, folder: Path) -> None:
    """Refuses a file that a list or a folder leads to although it lies elsewhere.

    Raises:
        GlnetGeoError: The file does not lie in the folder.
    """
    if not safe_file(path).is_relative_to(folder.resolve()):
        raise GlnetGeoError(
            f"{path} lies outside of {folder}, and --safe does not go there. Name it itself."
        )


def check_mask_beside(path: ScenePath, real: Path) -> None:
    """Refuses a scene with a mask of its own beside it: nothing there is read, and it matters.

    Args:
        path: The scene, for the message.
        real: Its file.

    Raises:
        RasterError: There is one.
    """
    for name in (f"{real.name}.msk", f"{real.name}.MSK"):
        mask = real.with_name(name)
        if mask.is_symlink() or mask.exists():
            raise RasterError(
                f"{path} has its mask in another file, {mask.name}, and --safe reads nothing "
                "beside a scene. Put it inside: gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES"
            )


def size_problems(
    driver: str, height: int, width: int, bands: int, block: tuple[int, int], pixel_bytes: int
) -> Iterator[str]:
    """What is too large about an image.

    Args:
        driver: GDAL's name of the format.
        height: Rows.
        width: Columns.
        bands: Number of bands.
        block: Rows and columns of a block.
        pixel_bytes: Bytes of a pixel of all bands.
    """
    if height * width > MAX_PIXELS:
        yield f"{width} x {height} px, and --safe reads at most {MAX_PIXELS:.0e} px"
    if bands > MAX_BANDS:
        yield f"{bands} bands, and --safe reads at most {MAX_BANDS}"
    if driver != "GTiff" and height * width * pixel_bytes > MAX_PICTURE_BYTES:
        yield (
            f"{width} x {height} px, and --safe reads at most {MAX_PICTURE_BYTES >> 20} MiB of a "
            "picture. Make it a GeoTIFF in tiles: gdal_translate -co TILED=YES"
        )
    if block[0] * block[1] * pixel_bytes > MAX_BLOCK_BYTES:
        yield (
            f"blocks of {block[1]} x {block[0]} px, and --safe reads at most "
            f"{MAX_BLOCK_BYTES >> 20} MiB at once. Put it in tiles: gdal_translate -co TILED=YES"
        )

"""How rasters are opened: what GDAL is told, what it may open, and its errors in one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from glnet_geo.errors import RasterError
from glnet_geo.remote import ScenePath, is_fetched, is_remote, persistently
from glnet_geo.safe_raster import open_safely

_CACHE_MB = 64
_SILENCE_S = 30  # a server that falls silent would hold the run, and Ctrl-C, for ever
_TILE = 512  # pixels; blocks across scenes that are wider are strips
_NETWORK = ":".join(f"/vsi{name}/" for name in ("curl", "s3", "gs", "az", "adls", "oss", "swift"))


@contextmanager
def gdal_environment(cache_mb: int = _CACHE_MB, remote: bool = False) -> Iterator[None]:
    """GDAL's settings for a run, in the thread that enters it.

    Args:
        cache_mb: Memory for blocks, in MiB; GDAL's default is a share of the machine's.
        remote: Whether scenes are fetched: requests are tried again, and none is spent on looking
            for files beside a scene, such as masks.
    """
    # Files beside a raster are asked for by name: a list of 10,000 scenes takes longer to read.
    options: dict[str, Any] = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}
    if remote:
        options = {
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_HTTP_MAX_RETRY": 3,
            "GDAL_HTTP_RETRY_DELAY": 1,
            "GDAL_HTTP_CONNECTTIMEOUT": 10,
            "GDAL_HTTP_LOW_SPEED_TIME": _SILENCE_S,
            "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
            # Where it decodes in threads GDAL asks for exactly the bytes of the blocks. Else it
            # takes neighbouring ones for a sequence, and asks for up to twice as much.
            "GDAL_NUM_THREADS": 2,
        }
    # rasterio hands it on in bytes, unlike the variable of that name in a shell.
    with rasterio.Env(GDAL_CACHEMAX=cache_mb << 20, **options):
        yield


class _Quiet:
    """Filters of warnings are those of all threads: set by the first that needs it, until the last.

    Threads that came and went in turns with `warnings.catch_warnings` would restore each other's.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._filters: warnings.catch_warnings[None] | None = None

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore", NotGeoreferencedWarning)

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._filters is not None:
                self._filters.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Without rasterio's warning about rasters without a place; commands say it in words."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


def open_raster(path: ScenePath, safe: bool = False, level: int | None = None) -> Any:
    """Opens a raster with rasterio.

    Args:
        path: The raster.
        safe: Whether nothing of it is trusted, see `safety`.
        level: One of its overviews instead, from 0; None for itself.

    Raises:
        RasterError: It is missing, a folder, nothing that GDAL reads bands from, or not `safe`.
    """
    if not is_remote(path) and not Path(path).exists():
        raise RasterError(f"{path} does not exist.")
    if not is_remote(path) and Path(path).is_dir():
        raise RasterError(f"{path} is a folder, not a raster.")
    try:
        with quiet():
            if safe:
                dataset = open_safely(path, level)
            else:
                dataset = persistently(path, partial(_open, path, level), RasterioError)
    except RasterioError as error:
        raise RasterError(
            f"{path} is not a raster that GDAL can read: {reason_of(error)}."
        ) from error
    if dataset.count == 0:
        dataset.close()
        raise RasterError(
            f"{path} has no bands of its own. Export a subdataset of it first: gdal_translate"
        )
    return dataset


def _open(path: ScenePath, level: int | None) -> Any:
    try:
        return rasterio.open(path, **({} if level is None else {"overview_level": level}))
    except RasterioError:
        if is_fetched(path):
            _forget(path)
        raise


def _forget(path: ScenePath) -> None:
    """Makes GDAL forget that it could not reach a scene, which it would not try again.

    rasterio before 1.5 has no other way to it than a file that is not kept in mind when it is
    closed (https://gdal.org/user/virtual_file_systems.html, CPL_VSIL_CURL_NON_CACHED).
    """
    with rasterio.Env(CPL_VSIL_CURL_NON_CACHED=_NETWORK), suppress(RasterioError):
        rasterio.open(path).close()


def has_strips(dataset: Any) -> bool:
    """Whether narrow windows of an open raster make GDAL decode the same rows again and again."""
    return bool(dataset.block_shapes[0][1] >= dataset.width > _TILE)


def local_files(path: ScenePath, dataset: Any) -> tuple[Path, ...]:
    """The local files that an open raster consists of."""
    if is_remote(path):  # GDAL would ask the server for files beside it
        return ()
    return tuple(Path(file) for file in dataset.files if not is_remote(file))


def reason_of(error: Exception) -> str:
    """GDAL's own words in one line, without its own full stop."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    return " ".join(str(deepest).split()).rstrip(".")

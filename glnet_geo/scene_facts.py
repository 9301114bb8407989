"""What one learns of many scenes by opening them, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from glnet_geo.batch_record import SceneFacts
from glnet_geo.errors import RasterError
from glnet_geo.georeference import grid_of
from glnet_geo.opening import gdal_environment, has_strips, open_raster
from glnet_geo.remote import ScenePath, is_fetched, is_remote

_THREADS = 8  # opening is waiting for the disk, or for a server
_AHEAD = 256

Learnt = SceneFacts | RasterError


def read_facts(path: ScenePath, safe: bool = False) -> SceneFacts:
    """Opens a scene and tells what it is.

    Args:
        path: The scene.
        safe: Whether nothing of it is trusted, see `open_raster`.

    Raises:
        RasterError: It is missing or no raster.
    """
    with gdal_environment(remote=is_fetched(path)):
        dataset = open_raster(path, safe)
        with dataset:
            dtype = np.result_type(*dataset.dtypes)
            grid = grid_of(path, dataset)
            return SceneFacts(grid, dataset.count, str(dtype), has_strips(dataset))


def read_all_facts(
    paths: Iterable[ScenePath], attempts: int = 1, safe: bool = False
) -> Iterator[Learnt]:
    """The facts of scenes in order, or why there are none after so many attempts."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = iter(paths)
        ahead = deque(pool.submit(_learn, path, attempts, safe) for path in islice(waiting, _AHEAD))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(_learn, path, attempts, safe) for path in islice(waiting, 1))


def _learn(path: ScenePath, attempts: int, safe: bool) -> Learnt:
    try:
        return read_facts(path, safe)
    except RasterError as error:
        return _learn(path, attempts - 1, safe) if attempts > 1 else error


def identity_of(path: ScenePath) -> str:
    """What changes when a scene does: size and time of its file; of a URL nothing.

    Raises:
        RasterError: There is no such file.
    """
    if isinstance(path, str) or is_remote(path):
        return "remote"
    try:
        state = path.stat()
    except OSError as error:
        raise RasterError(f"{path} cannot be read: {error.strerror}.") from None
    return f"{state.st_size} bytes, {state.st_mtime_ns} ns"

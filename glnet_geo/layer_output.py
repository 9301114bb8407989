"""Rasters of what is told of every pixel besides its class, made in step with the class raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.shutil import copy as copy_raster

from glnet_geo.blending import FrameScores
from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid, Window
from glnet_geo.mosaic import layer_mosaic_xml
from glnet_geo.opening import quiet
from glnet_geo.outputs import publish, work_folder, working_folder
from glnet_geo.qgis_style import own_style_path, shares_qml
from glnet_geo.raster_output import COG
from glnet_geo.raster_parts import (
    NoRows,
    PartWriter,
    RasterParts,
    check_read_back,
    count_values,
    writing,
)
from glnet_geo.sidecar import sidecar_path
from glnet_geo.uncertainty import Gauge, Layer, Values


@contextmanager
def layer_rasters(
    outputs: Mapping[Layer, Path], gauge: Gauge, grid: Grid, master: Path, is_resumed: bool
) -> Iterator[LayerRasters]:
    """The rasters of layers, whole or not at all.

    Each is made in a dotted folder beside it, which stays where that of the class raster does.

    Args:
        outputs: Which layers go where.
        gauge: What works them out, in the same order.
        grid: The scene's grid.
        master: The class raster, in whose working folder this block runs.
        is_resumed: Whether an interrupted run is continued.

    Raises:
        OutputError: A disk is full, or a part that an earlier run has left is missing.
    """

    def is_resumable(folder: Path) -> bool:
        return RasterParts.has_any(work_folder(master))

    with ExitStack() as stack:
        folders = {
            layer: stack.enter_context(working_folder(path, is_resumed, is_resumable))
            for layer, path in outputs.items()
        }
        yield LayerRasters(
            gauge,
            [_Raster(layer, outputs[layer], folders[layer], grid, gauge) for layer in outputs],
        )


class LayerRasters:
    """Where layers go: a `mapping.LayerSink`; made by `layer_rasters`.

    Args:
        gauge: What works them out.
        rasters: Where they go, in its order.
    """

    def __init__(self, gauge: Gauge, rasters: list[_Raster]) -> None:
        self._gauge = gauge
        self._rasters = rasters

    @property
    def n_bands(self) -> int:
        """Bands of all layers."""
        return self._gauge.n_bands

    def measure(self, scores: FrameScores) -> Values:
        """See `Gauge.measure`."""
        return self._gauge.measure(scores)

    def check_finished(self, count: int) -> None:
        """Refuses to continue a run whose class raster has more parts than a layer.

        Args:
            count: Parts of the class raster that are finished.

        Raises:
            OutputError: It has.
        """
        for raster in self._rasters:
            if raster.parts.finished < count:
                raise OutputError(
                    f"What an interrupted run has left of {raster.output} is incomplete. Leave "
                    "--resume out to start afresh."
                )

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[_Writer]:
        """Takes some rows of all layers, see `RasterParts.part`."""
        with ExitStack() as stack:
            writers = [stack.enter_context(one.parts.part(index, rows)) for one in self._rasters]
            yield _Writer(list(zip(writers, self._gauge.slices().values(), strict=True)))

    @contextmanager
    def finishing(self, tags: Mapping[str, str]) -> Iterator[Callable[[], None]]:
        """Makes the final files, each in a thread of its own, while the block runs.

        Args:
            tags: Tags that all of them get.

        Yields:
            What waits for all of them and puts them in their places; it raises OutputError where
            the disk is full, or one cannot be replaced.
        """
        with ThreadPoolExecutor(max(len(self._rasters), 1)) as pool:
            under_way = [pool.submit(raster.finish, tags) for raster in self._rasters]

            def place() -> None:
                for each in under_way:
                    each.result()
                for raster in self._rasters:
                    raster.place()

            yield place


@dataclass(frozen=True, slots=True)
class _Writer:
    """Takes the bands of all layers together."""

    writers: list[tuple[PartWriter | NoRows, slice]]

    def write(self, values: npt.NDArray[np.uint8], window: Window) -> None:
        for writer, bands in self.writers:
            writer.write(values[bands], window)


class _Raster:
    """The raster of one layer."""

    def __init__(self, layer: Layer, output: Path, folder: Path, grid: Grid, gauge: Gauge) -> None:
        self.output = output
        self._grid = grid
        self._bands = gauge.bands(layer)
        self._meaning = gauge.meaning(layer)
        self._mosaic, self._finished = folder / "mosaic", folder / "finished"
        self._style = folder / "style.qml"
        self.parts = RasterParts(folder, output, grid, len(self._bands))

    def finish(self, tags: Mapping[str, str]) -> None:
        heights, expected = self.parts.joined()
        tags = {**tags, "VALUES": self._meaning}
        joined = layer_mosaic_xml(heights, self._grid, self._bands, tags)
        with writing(self.output), quiet():
            self._mosaic.write_bytes(joined)
            copy_raster(self._mosaic, self._finished, **_COG)
            check_read_back(np.array_equal(expected, count_values(self._finished)))
            self._style.write_text(shares_qml(), "utf-8")

    def place(self) -> None:
        # That of another raster of this name would describe this one.
        sidecar_path(self.output).unlink(missing_ok=True)
        if style := own_style_path(self.output):
            publish(self._style, style)
        publish(self._finished, self.output)


_COG = {
    **COG,
    "overview_resampling": "average",
    "predictor": "standard",
    # A fifth larger than the default, in half the time.
    "level": 1,
}

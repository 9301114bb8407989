"""One layer of a GeoPackage, written in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import pyogrio

from glnet_geo.arrow_stream import ArrowStream, Column, Field
from glnet_geo.vector_layer import (
    BATCH,
    DISK_HINT,
    GEOMETRY,
    GEOPACKAGE,
    NEW_GEOPACKAGE,
    Layer,
    without_crs_warning,
    writing,
)


class LayerWriter:
    """Writes the only layer of a new GeoPackage, with its spatial index.

    All features go through one call to GDAL, which then sorts the boxes of the index in memory and
    writes them packed: appending batch by batch takes twice as long.

    Args:
        layer: The layer.
        output: What the file will be, for messages.

    Raises:
        OutputError: The layer cannot be made.
    """

    def __init__(self, layer: Layer, output: Path) -> None:
        self._output = output
        self._error: BaseException | None = None
        self._queue: Queue[Sequence[Column] | None] = Queue(1)
        self._is_last = False
        self._is_made = Event()
        self._stream = ArrowStream([Field(GEOMETRY, "wkb"), *layer.fields], self._batches())
        self._thread = Thread(target=self._run, args=(layer,), daemon=True)
        # Warnings are filtered for all threads, so this one waits until none can come.
        with without_crs_warning():
            self._thread.start()
            self._is_made.wait()
        self._check()

    def write(self, columns: Sequence[Column]) -> None:
        """Hands over some features; waits while those before the last ones are not written.

        Args:
            columns: WKB and the values of all fields.

        Raises:
            OutputError: The disk is full.
        """
        self._check()
        self._queue.put(columns)

    def close(self) -> None:
        """Finishes the file.

        Raises:
            OutputError: The disk is full.
        """
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            with writing(self._output, DISK_HINT):
                raise self._error

    def _batches(self) -> Iterator[Sequence[Column]]:
        self._is_made.set()
        while not self._is_last:
            # Nothing here keeps the last features while it waits for the next ones.
            yield from self._slices(self._queue.get())

    def _slices(self, columns: Sequence[Column] | None) -> Iterator[Sequence[Column]]:
        if columns is None:
            self._is_last = True
            return
        for start in range(0, len(columns[0]), BATCH):
            yield [column[start : start + BATCH] for column in columns]

    def _run(self, layer: Layer) -> None:
        try:
            pyogrio.write_arrow(
                self._stream,
                layer.source,
                layer=layer.name,
                driver=GEOPACKAGE,
                geometry_name=GEOMETRY,
                geometry_type=layer.geometry_type,
                crs=layer.crs,
                layer_metadata=dict(layer.metadata),
                dataset_options=NEW_GEOPACKAGE,
            )
        except BaseException as error:
            self._error = self._stream.error or error
        self._is_made.set()
        # Who hands over features must not wait for ever.
        while not self._is_last:
            self._is_last = self._queue.get() is None

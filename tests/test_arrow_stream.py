"""Arrays as Arrow streams, read back with pyarrow."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glnet_geo import arrow_stream
from glnet_geo.arrow_stream import ArrowStream, Blobs, Column, Field

FIELDS = (
    Field("geom", "wkb"),
    Field("id", "integer"),
    Field("name ü", "text"),
    Field("area", "real"),
)
ROWS = st.tuples(
    st.binary(max_size=9),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=5),
    st.floats(allow_nan=False) | st.none(),
)


def columns(rows: Sequence[tuple[Any, ...]]) -> list[Column]:
    geometries, ids, names, areas = zip(*rows, strict=True)
    return [
        Blobs.of(geometries),
        np.array(ids, np.int64),
        Blobs.of([name.encode() for name in names]),
        np.array([np.nan if area is None else area for area in areas]),
    ]


def read(stream: ArrowStream) -> list[pa.RecordBatch]:
    return list(pa.RecordBatchReader.from_stream(stream))


def rows_of(batches: Sequence[pa.RecordBatch]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


@given(st.lists(st.lists(ROWS, min_size=1, max_size=20), max_size=4))
def test_all_values_arrive(batches: list[list[tuple[Any, ...]]]) -> None:
    read_back = read(ArrowStream(FIELDS, map(columns, batches)))
    for batch in read_back:
        batch.validate(full=True)
    assert [batch.num_rows for batch in read_back] == [len(rows) for rows in batches]
    assert rows_of(read_back) == [row for rows in batches for row in rows]


@given(st.lists(ROWS, min_size=1, max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_slices_are_the_rows_between(rows: list[tuple[Any, ...]], start: int, stop: int) -> None:
    start, stop = sorted((min(start, len(rows)), min(stop, len(rows))))
    batch = [column[start:stop] for column in columns(rows)]
    assert rows_of(read(ArrowStream(FIELDS, [batch]))) == rows[start:stop]


def test_the_schema_has_the_fields_in_order() -> None:
    reader = pa.RecordBatchReader.from_stream(ArrowStream(FIELDS, []))
    types = [pa.large_binary(), pa.int64(), pa.large_string(), pa.float64()]
    names = [field.name for field in FIELDS]
    assert reader.schema == pa.schema(list(zip(names, types, strict=True)))


def test_batches_are_asked_for_one_by_one() -> None:
    asked = []

    def batches() -> Iterator[list[Column]]:
        for number in range(3):
            asked.append(number)
            yield columns([(b"x", number, "", 0.5)])

    reader = pa.RecordBatchReader.from_stream(ArrowStream(FIELDS, batches()))
    assert not asked
    reader.read_next_batch()
    assert asked == [0]


def test_numbers_are_not_copied() -> None:
    ids = np.arange(5)
    (batch,) = read(ArrowStream([Field("id", "integer")], [[ids]]))
    assert batch["id"].buffers()[1].address == ids.ctypes.data


def test_what_is_lent_is_kept_until_it_is_released_and_no_longer() -> None:
    before = len(arrow_stream._lent)
    rows = [(b"abc", 1, "x", None), (b"", 2, "yz", 1.5)]
    batches = read(ArrowStream(FIELDS, [columns(rows) for _ in range(3)]))
    gc.collect()
    assert rows_of(batches) == rows * 3
    # A column that outlives its batch has been moved out of it.
    column = batches[2]["name ü"]
    del batches
    gc.collect()
    assert len(arrow_stream._lent) > before
    assert column.to_pylist() == ["x", "yz"]
    del column
    gc.collect()
    assert len(arrow_stream._lent) == before


def test_an_error_of_the_batches_ends_the_reading_and_is_kept() -> None:
    def batches() -> Iterator[list[Column]]:
        yield columns([(b"x", 1, "", 0.5)])
        raise RuntimeError("no more")

    stream = ArrowStream(FIELDS, batches())
    reader = pa.RecordBatchReader.from_stream(stream)
    reader.read_next_batch()
    with pytest.raises(OSError, match="the rows could not be made"):
        reader.read_next_batch()
    assert isinstance(stream.error, RuntimeError) and str(stream.error) == "no more"


def test_columns_of_different_lengths_are_refused() -> None:
    stream = ArrowStream([Field("a", "integer"), Field("b", "real")], [[np.arange(3), np.ones(2)]])
    reader = pa.RecordBatchReader.from_stream(stream)
    with pytest.raises(OSError, match="the rows could not be made"):
        reader.read_next_batch()
    assert "different lengths" in str(stream.error)

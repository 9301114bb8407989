"""Columns of NumPy arrays as a stream of Arrow that GDAL reads without a copy, as they come.

Nothing but the three structures of the Arrow C data and stream interfaces, whose layout never
changes (https://arrow.apache.org/docs/format/CDataInterface.html, CStreamInterface.html): a stream
of pyarrow's would cost every installation 150 MB, and smaller libraries have no lazy ones.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["integer", "real", "text", "wkb"]
_FORMATS: dict[Kind, bytes] = {"integer": b"l", "real": b"g", "text": b"U", "wkb": b"Z"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Texts in UTF-8 or geometries in WKB, one after the other.

    Attributes:
        data: All their bytes, uint8.
        offsets: Where each begins and the last one ends; N + 1, int64.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Blobs:
        """Puts single ones together."""
        offsets = np.fromiter(accumulate(map(len, values), initial=0), np.int64, len(values) + 1)
        return cls(np.frombuffer(b"".join(values), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: slice) -> Blobs:
        return Blobs(self.data, self.offsets[rows.start : rows.stop + 1])


Column = Blobs | npt.NDArray[np.int64] | npt.NDArray[np.float64]
"""The values of a field; a real one that is NaN is written as none."""


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_SCHEMA = ctypes.POINTER(_Schema)
_ARRAY = ctypes.POINTER(_Array)
_STREAM = ctypes.POINTER(_Stream)
_ReleaseSchema = ctypes.CFUNCTYPE(None, _SCHEMA)
_ReleaseArray = ctypes.CFUNCTYPE(None, _ARRAY)
_ReleaseStream = ctypes.CFUNCTYPE(None, _STREAM)
_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, _STREAM, _SCHEMA)
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, _STREAM, _ARRAY)
_GetLastError = ctypes.CFUNCTYPE(ctypes.c_void_p, _STREAM)

_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(_SCHEMA)),
    ("dictionary", _SCHEMA),
    ("release", _ReleaseSchema),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(_ARRAY)),
    ("dictionary", _ARRAY),
    ("release", _ReleaseArray),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetLastError),
    ("release", _ReleaseStream),
    ("private_data", ctypes.c_void_p),
]
_NULLABLE = 2  # ARROW_FLAG_NULLABLE

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)

# What the structures in a reader's hands point to, until it releases them; it may move them.
_lent: dict[int, object] = {}
_numbers = count(1)


def _lend(*parts: object) -> int:
    number = next(_numbers)
    _lent[number] = parts
    return number


def _take_back(pointer: Any) -> None:
    """The release callback of schemas and arrays."""
    lent = pointer.contents
    for index in range(lent.n_children):
        child = lent.children[index]
        # A reader that moved a child releases it itself.
        if child.contents.release:
            child.contents.release(child)
    number = lent.private_data
    lent.release = type(lent.release)()
    del _lent[number]


_release_schema = _ReleaseSchema(_take_back)
_release_array = _ReleaseArray(_take_back)


class ArrowStream:
    """A table that is read once, batch by batch, as the batches come.

    Args:
        fields: Its fields.
        batches: The columns of each batch, in that order and of one length. What it raises ends
            the reading with an error, and is then in `error`.
    """

    def __init__(self, fields: Sequence[Field], batches: Iterable[Sequence[Column]]) -> None:
        self.error: BaseException | None = None
        self._fields = fields
        self._batches: Iterator[Sequence[Column]] = iter(batches)
        self._message = ctypes.create_string_buffer(b"the rows could not be made")
        self._stream = _Stream(
            _GetSchema(self._get_schema),
            _GetNext(self._get_next),
            _GetLastError(self._get_last_error),
            _ReleaseStream(self._release),
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule for a reader that does not outlive this object.

        Its callbacks cannot run while an exception of Python's is on its way: a reader written in
        Python must let go of all batches before that. GDAL does.
        """
        return _new_capsule(ctypes.addressof(self._stream), b"arrow_array_stream", None)

    def _get_schema(self, _: Any, out: Any) -> int:
        children = [
            _Schema(
                _FORMATS[field.kind],
                field.name.encode(),
                flags=_NULLABLE,
                release=_release_schema,
                private_data=_lend(),
            )
            for field in self._fields
        ]
        pointers = (_SCHEMA * len(children))(*map(ctypes.pointer, children))
        out[0] = _Schema(
            b"+s",
            b"",
            n_children=len(children),
            children=pointers,
            release=_release_schema,
            private_data=_lend(children, pointers),
        )
        return 0

    def _get_next(self, _: Any, out: Any) -> int:
        try:
            columns = next(self._batches, None)
            out[0] = _Array() if columns is None else _table(columns)
        except BaseException as error:  # it cannot pass through C
            self.error = error
            return errno.EIO
        return 0

    def _get_last_error(self, _: Any) -> int:
        return ctypes.addressof(self._message)

    def _release(self, stream: Any) -> None:
        stream.contents.release = _ReleaseStream()


def _table(columns: Sequence[Column]) -> _Array:
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    children = [_column(column) for column in columns]
    pointers = (_ARRAY * len(children))(*map(ctypes.pointer, children))
    table = _array(len(columns[0]), 0, [None])
    table.n_children, table.children = len(children), pointers
    _lent[table.private_data] = (_lent[table.private_data], children, pointers)
    return table


def _column(column: Column) -> _Array:
    if isinstance(column, Blobs):
        return _array(len(column), 0, [None, column.offsets, column.data])
    is_none = np.isnan(column)
    if not is_none.any():
        return _array(len(column), 0, [None, column])
    validity = np.packbits(~is_none, bitorder="little")
    return _array(len(column), int(is_none.sum()), [validity, column])


def _array(
    length: int, null_count: int, buffers: Sequence[npt.NDArray[np.generic] | None]
) -> _Array:
    addresses = [None if buffer is None else buffer.ctypes.data for buffer in buffers]
    pointers = (ctypes.c_void_p * len(buffers))(*addresses)
    return _Array(
        length,
        null_count,
        n_buffers=len(buffers),
        buffers=pointers,
        release=_release_array,
        private_data=_lend(pointers, buffers),
    )

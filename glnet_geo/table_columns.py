"""Tables of typed columns, and their CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from glnet_geo.csv_cells import number_cell, text_cell

Kind = Literal[
    "boolean", "int32", "int64", "float32", "float64", "date", "datetime", "text", "figure"
]


@dataclass(frozen=True, slots=True, eq=False)
class TableColumn:
    """A column.

    Attributes:
        name: Its name.
        kind: What it holds; a figure is a `float64` that was worked out here, and that a CSV shows
            with six decimals.
        values: N values, None where there is none: booleans, whole numbers, finite numbers, or
            texts. A date is 2026-11-27, a point in time 2026-11-27T08:30:00.5, with +04:00 or Z
            where its time zone is known (ISO 8601).
    """

    name: str
    kind: Kind
    values: Sequence[Any]

    def repeated(self, times: int) -> TableColumn:
        """Each value so many times."""
        return replace(self, values=[one for one in self.values for _ in range(times)])


def distinct(columns: Iterable[TableColumn]) -> list[TableColumn]:
    """Columns whose names differ, whatever the case, as databases and GIS have it.

    The first column of a name keeps it; those that follow become `name_2`, `name_3` and so on.
    """
    taken: set[str] = set()
    return [replace(one, name=free_name(one.name, taken)) for one in columns]


def free_name(name: str, taken: set[str]) -> str:
    """A name that is not taken, whatever the case; now it is, in `taken`."""
    found, number = name, 1
    while found.casefold() in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found.casefold())
    return found


def write_csv(path: Path, columns: Sequence[TableColumn]) -> None:
    """Writes a table in UTF-8, with a header.

    Missing values are empty cells; see `csv_cells` for the others.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([text_cell(one.name) for one in columns])
        table.writerows(zip(*map(_cells, columns), strict=True))


def _cells(column: TableColumn) -> Iterator[str]:
    for value in column.values:
        if value is None:
            yield ""
        elif column.kind == "figure":
            yield number_cell(value)
        elif column.kind == "boolean":
            yield str(value).lower()
        elif column.kind == "text":
            yield text_cell(value)
        else:
            yield str(value)

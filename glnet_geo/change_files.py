"""Changes as a table and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glnet_geo.change_matrix import ChangeMatrix
from glnet_geo.change_summary import HECTARE, ChangeSummary, change_files
from glnet_geo.csv_cells import text_cell
from glnet_geo.errors import OutputError
from glnet_geo.evaluation_result import share_text
from glnet_geo.matrix_drawing import (
    MOST_COLUMNS,
    MatrixPicture,
    area_text,
    count_text,
    shares_of_rows,
)
from glnet_geo.outputs import check_distinct, check_output

SUM = "(sum)"
"""What the row and the column of sums are called."""

_SUFFIXES = (".tif", ".tiff")


def check_change_files(
    output: Path, polygons: Path | None, overwrite: bool, sources: Sequence[Path]
) -> None:
    """Refuses, before any work, outputs that must not or cannot be written.

    Raises:
        OutputError: See `check_output`; or the output is no `.tif`.
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise OutputError(
            f"{output} is no name of a GeoTIFF. Name one, such as change.tif; change.csv and "
            "change.png come beside it."
        )
    files = [*change_files(output), *([polygons] if polygons else [])]
    check_distinct(files)
    for path in files:
        check_output(path, overwrite, tuple(sources))


def write_table(path: Path, found: ChangeSummary) -> None:
    """Writes all matrices below each other: which one, its unit, a class of the old map, areas.

    UTF-8, see `csv_cells`. The first matrix is that of the map of changes.
    """
    names = [*(text_cell(one.name) for one in found.classes), SUM]
    matrices = {"kept": found.kept, "mapped": found.mapped}
    matrices |= {f"suppressed by {rule}": one for rule, one in found.suppressed.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["matrix", "unit", "old", *names])
        for title, matrix in matrices.items():
            unit, rows = _figures(matrix, found.unit)
            for name, row in zip(names, rows, strict=True):
                writer.writerow([title, unit, name, *row])


def _figures(matrix: ChangeMatrix, unit: str) -> tuple[str, list[list[str]]]:
    if unit == "px":
        return "px", [list(map(str, row)) for row in matrix.pixels.tolist()]
    return "ha", [[_decimal(area / HECTARE) for area in row] for row in matrix.areas.tolist()]


def _decimal(hectares: float) -> str:
    return f"{hectares:.8f}".rstrip("0").rstrip(".")


def picture_of(found: ChangeSummary) -> MatrixPicture:
    """The matrix of the map of changes, what did not change without a shade.

    Cells hold the share of the old class, and hectares or else pixels.
    """
    matrix, names = found.kept, [one.name for one in found.classes]
    count = len(names)
    table = matrix.pixels if found.unit == "px" else matrix.areas
    shares = shares_of_rows(table[:-1, :-1])
    shades = np.where(np.eye(count, dtype=np.bool_), np.nan, shares)
    if count < MOST_COLUMNS:  # else there are no texts, which sums consist of
        shades = np.pad(shades, (0, 1), constant_values=np.nan)
        names.append(SUM)
    texts = [
        [_text(found, matrix.pixels[y, x], matrix.areas[y, x]) for x in range(len(names))]
        for y in range(len(names))
    ]
    for y, x in np.argwhere(matrix.pixels[:-1, :-1]).tolist():
        texts[y][x] = f"{share_text(shares[y, x], 1)}\n{texts[y][x]}"
    changed, changed_area = matrix.changed
    part = _text(found, changed, changed_area) or "nothing"
    return MatrixPicture(
        names,
        names,
        shades,
        texts,
        "old",
        "new",
        "share of the old class that changed",
        f"{part} of {_text(found, found.pixels, found.area)} changed",
        float(np.nanmax(shades, initial=0.0)) or 1.0,
    )


def _text(found: ChangeSummary, pixels: int, area: float) -> str:
    if not pixels:
        return ""
    return count_text(int(pixels)) if found.unit == "px" else area_text(area / HECTARE)

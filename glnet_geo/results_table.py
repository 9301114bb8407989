"""The CSV of a batch: one row a scene, for spreadsheets and scripts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from glnet_geo.batch_record import SceneRecord
from glnet_geo.csv_cells import number_cell, text_cell
from glnet_geo.legend import NODATA, Legend
from glnet_geo.outputs import publish, working_folder

_COLUMNS = (
    *("name", "scene", "state", "output", "polygons_file", "width", "height", "crs", "gsd_m"),
    *("seconds", "attempts", "error", "nodata_share"),
)


def write_table(path: Path, records: Sequence[SceneRecord], legend: Legend) -> None:
    """Writes the results of a batch as CSV, whole or not at all.

    The columns `<class>_ha` are empty without a CRS, `<class>_share` are shares in the pixels
    that have data, `nodata_share` is that of all pixels, and `polygons` counts them.

    Args:
        path: The output; an existing file is replaced.
        records: The scenes; their order is that of the rows.
        legend: The classes of their maps.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    with working_folder(path) as folder:
        finished = folder / "finished"
        # Names of files may be no text at all; the table stays UTF-8.
        with finished.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(_header(legend))
            table.writerows(_row(record, legend) for record in records)
        publish(finished, path)


def _header(legend: Legend) -> list[str]:
    columns = list(_COLUMNS)
    for c in legend.classes:
        share = f"{c.name}_share"
        # A class may bear the name of what is no class.
        columns += [f"{c.name}_ha", f"{c.name}_{c.id}_share" if share in _COLUMNS else share]
    return [text_cell(name) for name in (*columns, "polygons")]


def _row(record: SceneRecord, legend: Legend) -> list[str]:
    grid = record.facts.grid if record.facts else None
    output, polygons_file = (*record.outputs, "", "")[:2]
    row = [
        *map(text_cell, (record.name, record.scene, str(record.state), output, polygons_file)),
        *((str(grid.width), str(grid.height)) if grid else ("", "")),
        text_cell((grid and grid.crs_label) or ""),
        number_cell(grid.gsd_m if grid else None),
        f"{record.seconds:.3f}",
        str(record.attempts),
        text_cell(record.error),
        number_cell(_share(record, NODATA, sum(record.pixels.values()))),
    ]
    with_data = sum(count for key, count in record.pixels.items() if key != NODATA)
    for c in legend.classes:
        row += [number_cell(_hectares(record, c.id)), number_cell(_share(record, c.id, with_data))]
    return [*row, "" if record.polygons is None else str(record.polygons)]


def _share(record: SceneRecord, value: int, total: int) -> float | None:
    return record.pixels.get(value, 0) / total if total else None


def _hectares(record: SceneRecord, class_id: int) -> float | None:
    return None if record.areas_m2 is None else record.areas_m2.get(class_id, 0.0) / 1e4

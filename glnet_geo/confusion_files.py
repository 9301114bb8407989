"""An evaluation as files: JSON for machines, the confusion matrix as CSV and as a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.csv_cells import text_cell
from glnet_geo.errors import OutputError
from glnet_geo.evaluation_result import Evaluation
from glnet_geo.matrix_drawing import MatrixPicture, area_text, count_text, shares_of_rows
from glnet_geo.outputs import check_output, publish, working_folder

NO_CLASS_LABEL = "(no class)"
_SUFFIX = ".json"


def evaluation_files(output: Path) -> tuple[Path, Path, Path]:
    """JSON, CSV and PNG of an evaluation."""
    return output, output.with_suffix(".csv"), output.with_suffix(".png")


def check_evaluation_files(output: Path, overwrite: bool, sources: Sequence[Path]) -> None:
    """Refuses, before any work, outputs that must not or cannot be written.

    Raises:
        OutputError: See `check_output`; or the output is no `.json`.
    """
    if output.suffix.lower() != _SUFFIX:
        raise OutputError(
            f"{output} is no name of a JSON file. Name one, such as scores.json; scores.csv and "
            "scores.png come beside it."
        )
    for path in evaluation_files(output):
        check_output(path, overwrite, tuple(sources))


def write_evaluation(output: Path, found: Evaluation) -> None:
    """Writes the files, the JSON last.

    Raises:
        OutputError: They cannot be written.
    """
    table, picture = evaluation_files(output)[1:]
    with working_folder(output) as folder:
        made = [folder / name for name in ("json", "csv", "png")]
        made[0].write_text(
            f"{json.dumps(found.to_dict(), indent=1, ensure_ascii=False)}\n", "utf-8"
        )
        _write_csv(made[1], found)
        _picture_of(found).save(made[2])
        publish(made[1], table)
        publish(made[2], picture)
        publish(made[0], output)


def _write_csv(path: Path, found: Evaluation) -> None:
    """Pixels, a row for each class of the reference, a column for each of the prediction."""
    names = [text_cell(one.name) for one in found.classes]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["reference", *names, NO_CLASS_LABEL])
        for name, row in zip(names, found.table.tolist(), strict=True):
            writer.writerow([name, *row])


def _picture_of(found: Evaluation) -> MatrixPicture:
    """The matrix with shares of the reference's classes as shades.

    Cells hold the share of the row, and hectares or else pixels.
    """
    names = [one.name for one in found.classes]
    table, columns = found.table, [*names, NO_CLASS_LABEL]
    if not found.matrix.missed.any():
        table, columns = table[:, :-1], names
    shares = shares_of_rows(table)
    return MatrixPicture(
        names,
        columns,
        shares,
        _cells(shares, table, found.areas_ha),
        "reference",
        "prediction",
        "share of the reference's class",
        _title(found),
    )


def _cells(
    shares: npt.NDArray[np.float64],
    table: npt.NDArray[np.int64],
    area: npt.NDArray[np.float64] | None,
) -> list[list[str]]:
    """What stands in each cell."""
    texts = [[""] * table.shape[1] for _ in table]
    for row, column in np.argwhere(table).tolist():
        figure = (
            count_text(int(table[row, column]))
            if area is None
            else area_text(float(area[row, column]))
        )
        texts[row][column] = f"{100 * shares[row, column]:.1f} %\n{figure}"
    return texts


def _title(found: Evaluation) -> str:
    scores = found.scores
    figures = {
        "mean IoU": scores.mean_iou,
        "accuracy": scores.accuracy,
        "kappa": scores.kappa,
    }
    shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if value is not None)
    return f"{count_text(scores.pixels)}: {shown}"

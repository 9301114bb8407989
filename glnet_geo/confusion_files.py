"""An evaluation as files: JSON for machines, the confusion matrix as CSV and as a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from glnet_geo.errors import OutputError
from glnet_geo.evaluation_result import Evaluation
from glnet_geo.outputs import check_output, publish, working_folder

NO_CLASS_LABEL = "(no class)"
_SUFFIX = ".json"
_CELL_IN = 0.75  # inches that a cell takes
_MOST_NUMBERS = 24  # classes up to which cells hold figures
_MOST_SIDE_IN = 40.0
_DPI = 120
_DARK = 0.55  # share from which figures are white
_NAME_LENGTH = 24


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
        draw_confusion(found).savefig(made[2], format="png")
        publish(made[1], table)
        publish(made[2], picture)
        publish(made[0], output)


def _write_csv(path: Path, found: Evaluation) -> None:
    """Pixels, a row for each class of the reference, a column for each of the prediction."""
    names = [one.name for one in found.classes]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["reference", *names, NO_CLASS_LABEL])
        for name, row in zip(names, found.table.tolist(), strict=True):
            writer.writerow([name, *row])


def draw_confusion(found: Evaluation) -> Figure:
    """The matrix with shares of the reference's classes as shades.

    Cells hold the share of the row, and hectares or else pixels.
    """
    table, labels = found.table, [_short(one.name) for one in found.classes]
    columns = [*labels, NO_CLASS_LABEL]
    if not found.matrix.missed.any():
        table, columns = table[:, :-1], labels
    total = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, total, out=np.zeros(table.shape), where=total > 0)
    side = min(_CELL_IN * len(columns), _MOST_SIDE_IN)
    height = min(_CELL_IN * len(labels), _MOST_SIDE_IN)
    figure = Figure(figsize=(side + 4, height + 3), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # which becomes the figure's own
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("prediction")
    axes.set_ylabel("reference")
    area = found.areas_ha
    axes.set_title(_title(found), fontsize="medium")
    if len(columns) <= _MOST_NUMBERS:
        amounts = table if area is None else area[:, : table.shape[1]]
        _write_cells(axes, shares, amounts, is_area=area is not None)
    figure.colorbar(image, ax=axes, label="share of the reference's class", shrink=0.8)
    return figure


def _write_cells(
    axes: Axes, shares: npt.NDArray[np.float64], amounts: npt.NDArray[Any], is_area: bool
) -> None:
    for (row, column), share in np.ndenumerate(shares):
        amount = amounts[row, column]
        if not amount:
            continue
        figure = _area_text(float(amount)) if is_area else _count_text(int(amount))
        axes.text(
            column,
            row,
            f"{100 * share:.1f} %\n{figure}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share > _DARK else "black",
        )


def _title(found: Evaluation) -> str:
    scores = found.scores
    figures = {
        "mean IoU": scores.mean_iou,
        "accuracy": scores.accuracy,
        "kappa": scores.kappa,
    }
    shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if value is not None)
    return f"{_count_text(scores.pixels)}: {shown}"


def _count_text(pixels: int) -> str:
    for limit, divisor, unit in ((10**6, 10**6, "Mpx"), (10**4, 10**3, "kpx")):
        if pixels >= limit:
            return f"{pixels / divisor:,.4g} {unit}"
    return f"{pixels:,} px"


def _area_text(hectares: float) -> str:
    return f"{hectares:,.2f} ha" if hectares >= 0.01 else "< 0.01 ha"


def _short(name: str) -> str:
    # A dollar sign would begin a formula.
    text = name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
    return text.replace("$", r"\$")

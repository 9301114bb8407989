"""What is known of a run: rows for people and programs, and a picture of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from glnet_geo.figures import new_figure, save_png
from glnet_geo.outputs import write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS, CURVES = "metrics.csv", "curves.png"


@dataclass(frozen=True, slots=True)
class LogRow:
    """Where a run stood at the end of an epoch, or when it was scored.

    Attributes:
        stage: The stage.
        iteration: Steps done in it.
        epoch: How often the training scenes' pixels had been seen in it.
        learning_rate: Of the last step.
        loss: Mean of the steps since the row before.
        mean_iou: On held-out frames, 0-1; None where they were not looked at.
        accuracy: Likewise the share of their pixels that was right.
        seconds: Since the run began, breaks left out.
    """

    stage: str
    iteration: int
    epoch: float
    learning_rate: float
    loss: float
    mean_iou: float | None
    accuracy: float | None
    seconds: float


def write_metrics(rows: Sequence[LogRow], folder: Path) -> None:
    """Writes all rows as a table, whole or not at all."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(one.name for one in fields(LogRow))
    for row in rows:
        values = astuple(row)
        table.writerow(f"{one:.6g}" if isinstance(one, float) else one for one in values)
    write_whole(folder / METRICS, text.getvalue().encode())


def draw_curves(rows: Sequence[LogRow], folder: Path) -> None:
    """Draws loss and mean IoU of every stage, side by side, whole or not at all."""
    stages = list(dict.fromkeys(row.stage for row in rows))
    figure = new_figure(4.2 * len(stages), 3.4)
    for axes, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        own = [row for row in rows if row.stage == stage]
        axes.plot([r.iteration for r in own], [r.loss for r in own], color="tab:blue", label="loss")
        axes.set(title=stage.replace("_", " "), xlabel="iteration", ylabel="loss")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        scored = [(r.iteration, r.mean_iou) for r in own if r.mean_iou is not None]
        lines = axes.get_lines()
        if scored:
            right = axes.twinx()
            right.plot(*zip(*scored, strict=True), "o-", color="tab:orange", label="mean IoU")
            right.set(ylim=(0, 1), ylabel="mean IoU, held out")
            lines = [*lines, *right.get_lines()]
        axes.legend(handles=lines, loc="upper right", fontsize="small")
    picture = io.BytesIO()
    save_png(figure, picture)
    write_whole(folder / CURVES, picture.getvalue())


class TensorBoard:
    """The same rows as events, where TensorBoard is installed.

    Args:
        folder: Where the events go.
        first: The row to begin with: those before are there from the run that is continued.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self._folder, self._next = folder, first
        self._writer: SummaryWriter | None = None
        self._is_there = True

    def show(self, rows: Sequence[LogRow]) -> None:
        """Writes the rows that are new."""
        for row in rows[self._next :]:
            self._write(row)
        self._next = len(rows)

    def close(self) -> None:
        """Writes what is pending."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, row: LogRow) -> None:
        if self._writer is None and self._is_there:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self._is_there = False
            else:
                self._writer = SummaryWriter(str(self._folder))
        if self._writer is not None:
            for name in ("loss", "learning_rate", "mean_iou", "accuracy"):
                value = getattr(row, name)
                if value is not None:
                    self._writer.add_scalar(f"{row.stage}/{name}", value, row.iteration)

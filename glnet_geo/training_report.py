"""What a run leaves to be looked at: metrics, curves, and pictures of held-out frames."""

from __future__ import annotations

from pathlib import Path

from glnet_geo.labelled_scene import Sample
from glnet_geo.legend import Legend
from glnet_geo.metrics import ConfusionMatrix
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.outputs import write_whole
from glnet_geo.quicklook import Panel, as_rgb, contact_sheet, difference, png_bytes
from glnet_geo.training_log import LogRow, TensorBoard, draw_curves, write_metrics
from glnet_geo.validation import Labels, Validation, ids_of


def report_folder(output: Path) -> Path:
    """The folder beside a model file."""
    return output.with_name(f"{output.name.removesuffix('.safetensors')}.train")


class TrainingReport:
    """Writes the report of a run as it goes on.

    Args:
        folder: Where to; made when there is something to write.
        legend: The classes.
        net: The networks.
        validation: The held-out frames; None without any.

    Attributes:
        folder: As given.
    """

    def __init__(
        self, folder: Path, legend: Legend, net: GLNet, validation: Validation | None
    ) -> None:
        self.folder = folder
        self._legend, self._net, self._validation = legend, net, validation
        self._board: TensorBoard | None = None

    def begin(self, rows: list[LogRow]) -> None:
        """Takes the rows that a run to be continued has already."""
        self._board = TensorBoard(self.folder, first=len(rows))

    def close(self) -> None:
        """Writes what is pending."""
        if self._board is not None:
            self._board.close()

    def row_added(self, rows: list[LogRow]) -> None:
        """Writes the table anew: it is small, and so always whole."""
        self.folder.mkdir(exist_ok=True)
        write_metrics(rows, self.folder)
        if self._board is not None:
            self._board.show(rows)

    def stage_ended(self, stage: Form, rows: list[LogRow]) -> None:
        """Draws what the stage has achieved."""
        self.folder.mkdir(exist_ok=True)
        draw_curves(rows, self.folder)
        if self._validation is not None:
            name = f"validation-{stage.replace('_', '-')}.png"
            sheet = contact_sheet(
                [
                    self._panels(sample, predicted)
                    for sample, predicted in self._validation.predicted(self._net, stage)
                ],
                self._legend,
            )
            write_whole(self.folder / name, png_bytes(sheet))

    def _panels(self, sample: Sample, predicted: Labels) -> list[Panel]:
        """A held-out frame, its truth, its prediction, and where they differ."""
        truth = ids_of(self._legend)[sample.target]
        score = ConfusionMatrix(self._legend).add(truth, predicted).scores().mean_iou
        title = "Prediction" if score is None else f"Prediction, mean IoU {score:.3f}"
        return [
            Panel(sample.image, as_rgb(sample.pixels)),
            Panel("Truth", truth),
            Panel(title, predicted),
            Panel("Wrong in red", difference(truth, predicted)),
        ]

"""The labels of a training scene, whatever they are: rasters or polygons, on any grid."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError
from glnet_geo.features import AreaOfInterest
from glnet_geo.grid import Grid, Window
from glnet_geo.label_polygons import PolygonLabels
from glnet_geo.label_rasters import RasterLabels
from glnet_geo.label_values import LabelValues
from glnet_geo.label_values import LabelWindow as LabelWindow  # who reads labels looks here
from glnet_geo.legend import Legend
from glnet_geo.outlines import is_vector


class SceneLabels(Protocol):
    """Open labels on the grid of their image; not to be shared between threads.

    Attributes:
        notes: What was decided, one sentence each.
    """

    notes: tuple[str, ...]

    def read(self, window: Window) -> LabelWindow:
        """The labels of a window of the image's grid.

        Raises:
            RasterError: The file is damaged or has vanished.
            ValueError: The window reaches outside the grid.
        """

    def touches(self, window: Window) -> bool:
        """Whether anything in a window may not be ignored.

        Cheap, and never False where `read` has a class or an unknown value; the opposite may
        happen.
        """

    def close(self) -> None:
        """Closes the files."""


def open_labels(scene: LabelledScene, image: Grid, legend: Legend) -> SceneLabels:
    """Opens the labels of a scene, and its area of interest if it has one.

    Args:
        scene: Image and labels.
        image: The image's grid.
        legend: The classes.

    Raises:
        RasterError: The labels cannot be read, or not be aligned.
        FeaturesError: The labels or the area cannot be read or placed.
        DatasetError: Labels and image do not fit, or `labels_map`, `attribute` or `unlabelled` of
            the scene do not fit the labels or the legend.
    """
    try:
        values = LabelValues(legend, scene.labels_map)
    except DatasetError as error:
        raise DatasetError(f"{scene.labels}: {error}") from None
    area = None if scene.aoi is None else AreaOfInterest.read(scene.aoi, image)
    kind = PolygonLabels if is_vector(scene.labels) else RasterLabels
    return kind(scene, image, values, area)


def positions_of(
    labels: SceneLabels, window: Window, scene: LabelledScene, legend: Legend
) -> npt.NDArray[np.uint8]:
    """The labels of a window, H x W: positions of classes in the legend, or `IGNORED`.

    Raises:
        DatasetError: A value is neither a class nor ignored.
        RasterError: See `SceneLabels.read`.
    """
    found = labels.read(window)
    for value in found.unknown:
        raise DatasetError(refusal(value, scene, legend))
    return found.positions


def refusal(value: str, scene: LabelledScene, legend: Legend) -> str:
    """What is wrong with a label that is neither a class nor ignored, and what to do about it."""
    if is_vector(scene.labels):
        return (
            f"{scene.labels} has the class {value!r}, which is no class of {legend.name!r}. "
            "Add it to labels_map."
        )
    if scene.palette:
        return f"{scene.labels} has the colour {value}, which is no class of {legend.name!r}."
    if not 0 <= float(value) <= 255:
        return f"{scene.labels} has labels outside 0-255."
    return (
        f"{scene.labels} has the value {value}, which is neither a class of {legend.name!r} nor "
        "ignored. Add it to the legend's ignore, or to labels_map."
    )

"""Draws docs/qgis.png with QGIS, from what `glnet-geo demo` makes; docs/qgis.md has the command."""

from __future__ import annotations

import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsLayoutExporter,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemScaleBar,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsMapLayer,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsUnitTypes,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QImage

_SIDE_MM = 78
_GAP_MM = 3
_PIXELS_MM = 3.4


def main(folder: Path, output: Path) -> None:
    """Draws the scene, its map and the map's polygons, each as QGIS opens it."""
    application = QgsApplication([], False)
    application.initQgis()
    layers = [
        QgsRasterLayer(str(folder / "scene.tif"), "scene.tif"),
        QgsRasterLayer(str(folder / "landcover.tif"), "landcover.tif"),
        QgsVectorLayer(str(folder / "landcover.gpkg"), "landcover.gpkg"),
    ]
    project = QgsProject.instance()
    project.setCrs(layers[0].crs())
    project.addMapLayers(layers)
    layout = drawn(project, layers)
    page = layout.pageCollection().page(0).pageSize()
    size = QSize(round(page.width() * _PIXELS_MM), round(page.height() * _PIXELS_MM))
    picture = QgsLayoutExporter(layout).renderPageToImage(0, size)
    assert picture.convertToFormat(QImage.Format_RGB888).save(str(output), "PNG", 0)
    del layout, layers
    project.clear()
    application.exitQgis()


def drawn(project: QgsProject, layers: list[QgsMapLayer]) -> QgsPrintLayout:
    """A page with a map of each layer, and the last one's legend."""
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    step = _SIDE_MM + _GAP_MM
    width = len(layers) * step + 39
    layout.pageCollection().page(0).setPageSize(QgsLayoutSize(width, _SIDE_MM + 12))
    whole = layers[0].extent()
    center = whole.center()
    part = QgsRectangle.fromCenterAndSize(center, whole.width() / 2, whole.height() / 2)
    for column, layer in enumerate(layers):
        left = column * step + _GAP_MM
        title = QgsLayoutItemLabel(layout)
        title.setText(layer.name())
        layout.addLayoutItem(title)
        place(title, left, 2, _SIDE_MM, 6)
        view = QgsLayoutItemMap(layout)
        layout.addLayoutItem(view)
        place(view, left, 9, _SIDE_MM, _SIDE_MM)
        view.setLayers([layer])
        view.setCrs(layer.crs())
        view.setExtent(part)
        view.setFrameEnabled(True)
    legend = QgsLayoutItemLegend(layout)
    legend.setAutoUpdateModel(False)
    for layer in layers[:-1]:
        legend.model().rootGroup().removeLayer(layer)
    layout.addLayoutItem(legend)
    place(legend, len(layers) * step + _GAP_MM, 9, 36, 50)
    bar = QgsLayoutItemScaleBar(layout)
    bar.setStyle("Single Box")
    bar.setLinkedMap(view)
    bar.setUnits(QgsUnitTypes.DistanceMeters)
    bar.setUnitLabel("m")
    bar.setNumberOfSegments(1)
    bar.setNumberOfSegmentsLeft(0)
    bar.setUnitsPerSegment(100)
    layout.addLayoutItem(bar)
    place(bar, len(layers) * step + _GAP_MM, _SIDE_MM - 8, 34, 14)
    return layout


def place(item: object, left: float, top: float, width: float, height: float) -> None:
    """Puts an item on the page, in millimetres."""
    item.attemptMove(QgsLayoutPoint(left, top))
    item.attemptResize(QgsLayoutSize(width, height))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Opens files in a QGIS without a window and tells how it shows them.

Run by the Python that has QGIS, see `tests/in_qgis.py`: a JSON list of requests on stdin, on
stdout one line of JSON behind the mark that is its argument, with an answer for each request.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsLayerTree,
    QgsLayerTreeModel,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor


def opened(request: dict[str, Any]) -> QgsMapLayer:
    """The layer, as a drop onto the window opens it: with its default style."""
    path, name = request["path"], request.get("layer")
    if request["kind"] == "raster":
        return QgsRasterLayer(path, "layer", "gdal")
    uri = path if name is None else f"{path}|layername={name}"
    return QgsVectorLayer(uri, "layer", "ogr")


def rows(layer: QgsMapLayer) -> list[str]:
    """The rows under the layer's name in the panel of layers."""
    tree = QgsLayerTree()
    node = tree.addLayer(layer)
    model = QgsLayerTreeModel(tree)
    return [str(one.data(Qt.DisplayRole)) for one in model.layerOriginalLegendNodes(node)]


def entries(renderer: Any) -> list[list[Any]]:
    """Label, colour and opacity, 0-255, of what a renderer tells apart."""
    if renderer.type() == "paletted":
        found = [(one.label, one.color) for one in renderer.classes()]
    elif renderer.type() == "categorizedSymbol":
        found = [(one.label(), one.symbol().color()) for one in renderer.categories()]
    else:
        found = []
    return [[label, color.name(), color.alpha()] for label, color in found]


def forms(layer: QgsVectorLayer) -> dict[str, Any]:
    """What a field may be set to where it is a list of choices, and the fields that are hidden."""
    choices, hidden = {}, []
    for number, name in enumerate(layer.fields().names()):
        widget = layer.editorWidgetSetup(number)
        if widget.type() == "ValueMap":
            choices[name] = [one for pair in widget.config()["map"] for one in pair.values()]
        elif widget.type() == "Hidden":
            hidden.append(name)
    return {"choices": choices, "hidden": hidden}


def render(layer: QgsMapLayer, request: dict[str, Any]) -> None:
    """Draws the layer: pixel for pixel a raster, unless the request names a size."""
    size = request["size"] if "size" in request else [layer.width(), layer.height()]
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setOutputSize(QSize(*size))
    settings.setExtent(layer.extent())
    settings.setBackgroundColor(QColor(0, 0, 0, 0))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    picture = job.renderedImage()
    assert [picture.width(), picture.height()] == size
    assert picture.save(request["picture"], "PNG")
    for error in job.errors():
        QgsApplication.messageLog().logMessage(error.message, "render", Qgis.Warning)


def answer(request: dict[str, Any], messages: list[list[str]]) -> dict[str, Any]:
    """What QGIS makes of one file."""
    del messages[:]
    details = QgsProviderRegistry.instance().querySublayers(request["path"])
    layer = opened(request)
    found: dict[str, Any] = {
        "sublayers": sorted(one.name() for one in details),
        "is_valid": layer.isValid(),
        "crs": layer.crs().authid(),
    }
    if layer.isValid():
        found["rows"] = rows(layer)
        found["entries"] = entries(layer.renderer())
        found["renderer"] = layer.renderer().type()
        if request["kind"] == "raster":
            found["bands"] = [layer.bandName(k + 1) for k in range(layer.bandCount())]
        else:
            found["features"] = layer.featureCount()
            found |= forms(layer)
        if "picture" in request and not layer.extent().isEmpty():
            render(layer, request)
    found["messages"] = [*messages]
    return found


def main() -> None:
    """Answers all requests with one start of QGIS."""
    application = QgsApplication([], False)
    application.initQgis()
    messages: list[list[str]] = []
    QgsApplication.messageLog().messageReceived.connect(
        lambda text, tag, level: messages.append([str(text), str(tag), str(int(level))])
    )
    answers = [answer(request, messages) for request in json.load(sys.stdin)]
    print(sys.argv[1] + json.dumps({"version": Qgis.QGIS_VERSION, "answers": answers}))
    application.exitQgis()


if __name__ == "__main__":
    main()

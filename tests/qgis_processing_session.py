"""Runs algorithms of docs/qgis/glnet_geo_toolbox in the Processing framework of a real QGIS.

Run by the Python that has QGIS, see `tests/in_qgis.py`: on stdin the plugin's folder and a list of
runs, on stdout one line of JSON behind the mark that is the argument, with an answer for each.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import time
from typing import Any

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
)

PLUGIN = "glnet_geo_toolbox"


class Feedback(QgsProcessingFeedback):
    """Keeps what is told, and cancels after so many seconds."""

    def __init__(self, cancel_after: float | None) -> None:
        super().__init__(False)
        self.lines: list[str] = []
        self._end = None if cancel_after is None else time.monotonic() + cancel_after

    def pushInfo(self, text: str) -> None:  # noqa: N802
        self.lines.append(text)

    def pushWarning(self, text: str) -> None:  # noqa: N802
        self.lines.append(f"warning {text}")

    def pushCommandInfo(self, text: str) -> None:  # noqa: N802
        self.lines.append(f"command {text}")

    def reportError(self, text: str, is_fatal: bool = False) -> None:  # noqa: N802
        self.lines.append(f"error {text}")

    def isCanceled(self) -> bool:  # noqa: N802
        if self._end is not None and time.monotonic() > self._end:
            self.cancel()
        return super().isCanceled()


def answer(run: dict[str, Any]) -> dict[str, Any]:
    """What comes of one run: its error, or the layers that are loaded in the end."""
    import processing

    feedback = Feedback(run.get("cancel_after"))
    began = time.monotonic()
    found: dict[str, Any] = {"error": None}
    try:
        found["results"] = processing.runAndLoadResults(
            run["algorithm"], run["parameters"], feedback=feedback
        )
    except QgsProcessingException as error:
        found["error"] = str(error)
    found |= {"seconds": time.monotonic() - began, "lines": feedback.lines}
    found["progress"] = feedback.progress()
    found["layers"] = [legend(one) for one in QgsProject.instance().mapLayers().values()]
    QgsProject.instance().clear()
    return found


def legend(layer: Any) -> dict[str, list[str]]:
    """The classes that a layer's renderer tells apart."""
    renderer = layer.renderer()
    if renderer.type() == "paletted":
        return {layer.name(): [one.label for one in renderer.classes()]}
    if renderer.type() == "categorizedSymbol":
        return {layer.name(): [one.label() for one in renderer.categories()]}
    return {layer.name(): [renderer.type()]}


faulthandler.enable()


def main() -> None:
    """Answers all requests with one start of QGIS."""
    request = json.load(sys.stdin)
    application = QgsApplication([], False)
    application.initQgis()
    sys.path += [request["folder"], f"{QgsApplication.pkgDataPath()}/python/plugins"]
    from processing.core.Processing import Processing
    from qgis import utils

    Processing.initialize()
    utils.plugin_paths = [request["folder"]]
    utils.updateAvailablePlugins()
    assert utils.loadPlugin(PLUGIN) and utils.startProcessingPlugin(PLUGIN)
    answers = [answer(run) for run in request["runs"]]
    utils.unloadPlugin(PLUGIN)
    print(sys.argv[1] + json.dumps({"version": Qgis.QGIS_VERSION, "answers": answers}))
    application.exitQgis()


if __name__ == "__main__":
    main()

"""glnet-geo in the Processing toolbox of QGIS; docs/qgis.md says how to install it.

The program is run as a process of its own: QGIS needs neither its packages nor its Python.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, ClassVar

from qgis.core import (
    QgsApplication,
    QgsPalettedRasterRenderer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingProvider,
    QgsSettings,
)

from .program import run_program

_PROGRAM_SETTING = "glnet_geo/program"


class _Styled(QgsProcessingLayerPostProcessorInterface):
    """Gives a result the style that it has when it is opened by hand."""

    def postProcessLayer(
        self, layer: Any, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        layer.loadDefaultStyle()
        renderer = layer.renderer()
        if isinstance(renderer, QgsPalettedRasterRenderer):
            # Without the ids that are no class, which QGIS before 3.30 lists.
            classes = [one for one in renderer.classes() if one.color.alpha()]
            layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes))
        layer.triggerRepaint()


# QGIS ends them with a run, but holds no reference to them until then.
_IN_USE: list[_Styled] = []


class _Command(QgsProcessingAlgorithm):
    """A command of glnet-geo.

    Attributes:
        WORD: The command.
        TITLE: What the toolbox calls it.
        HELP: What it does.
        OPTIONS: Name of the option by the name of a parameter that holds its text.
    """

    WORD, TITLE, HELP = "", "", ""
    OPTIONS: ClassVar[dict[str, str]] = {}

    def name(self) -> str:
        return self.WORD

    def displayName(self) -> str:
        return self.TITLE

    def shortHelpString(self) -> str:
        return self.HELP

    def createInstance(self) -> _Command:
        return type(self)()

    def add_text(self, name: str, title: str, default: str = "", advanced: bool = False) -> None:
        """Adds a parameter of text that may be left empty."""
        parameter = QgsProcessingParameterString(name, title, default, optional=True)
        if advanced:
            flag = QgsProcessingParameterDefinition.FlagAdvanced
            parameter.setFlags(parameter.flags() | flag)
        self.addParameter(parameter)

    def add_common(self) -> None:
        """Adds what all commands have."""
        self.add_text("EXTRA", "More options, as on the command line", advanced=True)
        program = QgsSettings().value(_PROGRAM_SETTING, "glnet-geo")
        self.add_text("PROGRAM", "glnet-geo program", program, advanced=True)

    def call(self, words: Sequence[str], parameters: Any, context: Any, feedback: Any) -> None:
        """Runs the command with the options that parameters give.

        Raises:
            QgsProcessingException: It fails, or more options end within quotes.
        """
        texts = {
            option: self.parameterAsString(parameters, name, context).strip()
            for name, option in self.OPTIONS.items()
        }
        options = [word for pair in texts.items() if pair[1] for word in pair]
        try:
            extra = shlex.split(self.parameterAsString(parameters, "EXTRA", context))
        except ValueError as error:
            raise QgsProcessingException(f"More options cannot be read: {error}.") from error
        # Windows copies paths in quotes.
        named = self.parameterAsString(parameters, "PROGRAM", context).strip().strip('"')
        program = named or "glnet-geo"
        # Processing has asked already whether a file may be replaced.
        run_program(program, [self.WORD, *words, *options, "--overwrite", *extra], feedback)
        QgsSettings().setValue(_PROGRAM_SETTING, program)

    def styled(self, results: dict[str, str], context: Any) -> dict[str, str]:
        """The results, which get their styles where they are loaded."""
        for path in results.values():
            if context.willLoadLayerOnCompletion(path):
                styled = _Styled()
                _IN_USE.append(styled)
                context.layerToLoadOnCompletionDetails(path).setPostProcessor(styled)
        return results

    def raster_path(self, parameters: Any, context: Any, name: str = "INPUT") -> str:
        """The file of a raster.

        Raises:
            QgsProcessingException: There is none.
        """
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None or layer.providerType() != "gdal":
            title = self.parameterDefinition(name).description()
            raise QgsProcessingException(f"{title}: this is no raster file.")
        return layer.source()

    def vector_words(
        self, option: str, name: str, parameters: Any, context: Any, feedback: Any
    ) -> list[str]:
        """An option with a file of a vector layer, or nothing where none is given."""
        if self.parameterAsSource(parameters, name, context) is None:
            return []
        # A layer need not be a file, and may be one of several in its file.
        path = self.parameterAsCompatibleSourceLayerPath(
            parameters, name, context, ["fgb"], "fgb", feedback
        )
        return [option, path]


class Predict(_Command):
    """Scene -> class raster, and how sure it is."""

    WORD, TITLE = "predict", "Map land cover"
    HELP = (
        "Maps the land cover of a scene with GLNet. The result opens in the colours of its "
        "classes. Without a model, the bundled one is used: very-high-resolution RGB imagery of "
        "an arid city."
    )
    OPTIONS: ClassVar[dict[str, str]] = {"MODEL": "--model", "BANDS": "--bands"}

    def initAlgorithm(self, configuration: Any = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer("INPUT", "Scene"))
        self.add_text("MODEL", "Model: a name, or a .safetensors file")
        self.add_text("BANDS", "Bands, such as 4,3,2")
        self.addParameter(
            QgsProcessingParameterFeatureSource("AOI", "Only within these polygons", optional=True)
        )
        self.add_common()
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", "Land cover"))
        sure = QgsProcessingParameterRasterDestination(
            "CONFIDENCE", "How sure it is", optional=True, createByDefault=False
        )
        self.addParameter(sure)

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, str]:
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        results, words = {"OUTPUT": output}, [self.raster_path(parameters, context), "-o", output]
        if sure := self.parameterAsOutputLayer(parameters, "CONFIDENCE", context):
            results["CONFIDENCE"] = sure
            words += ["--confidence", sure]
        words += self.vector_words("--aoi", "AOI", parameters, context, feedback)
        self.call(words, parameters, context, feedback)
        return self.styled(results, context)


class Vectorize(_Command):
    """Class raster -> polygons."""

    WORD, TITLE = "vectorize", "Polygons of a land-cover map"
    HELP = (
        "Makes polygons of a class raster of any origin: without gaps and overlaps, in the colours "
        "of the classes. Areas and lengths have units: 50m2, 0.5ha, 100px; 1m, 2px."
    )
    OPTIONS: ClassVar[dict[str, str]] = {
        "MIN_AREA": "--min-area",
        "FILL_HOLES": "--fill-holes",
        "SIMPLIFY": "--simplify",
        "CLASSES": "--classes",
    }

    def initAlgorithm(self, configuration: Any = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer("INPUT", "Land-cover map"))
        self.add_text("MIN_AREA", "Dissolve regions smaller than, such as 50m2")
        self.add_text("FILL_HOLES", "Fill holes smaller than, such as 100m2")
        self.add_text("SIMPLIFY", "Smooth borders by, such as 1m")
        self.add_text("CLASSES", "Only these classes, such as building,water")
        self.add_common()
        self.addParameter(QgsProcessingParameterVectorDestination("OUTPUT", "Polygons"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, str]:
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        words = [self.raster_path(parameters, context), "-o", output]
        self.call(words, parameters, context, feedback)
        return self.styled({"OUTPUT": output}, context)


class Report(_Command):
    """Class raster -> page for a browser."""

    WORD, TITLE = "report", "Page of a land-cover map"
    HELP = (
        "Shows a class raster of any origin on one page for a browser, to send and to print: the "
        "map over its scene, areas and shares of the classes, and how sure the map is. The page "
        "is a single file, listed in Results > Results Viewer."
    )
    RASTERS: ClassVar[dict[str, str]] = {"SCENE": "--scene", "CONFIDENCE": "--confidence"}

    def initAlgorithm(self, configuration: Any = None) -> None:
        raster, vector = QgsProcessingParameterRasterLayer, QgsProcessingParameterFeatureSource
        self.addParameter(raster("INPUT", "Land-cover map"))
        self.addParameter(raster("SCENE", "Scene under it", optional=True))
        self.addParameter(raster("CONFIDENCE", "How sure it is", optional=True))
        self.addParameter(vector("POLYGONS", "Polygons to outline", optional=True))
        self.add_common()
        self.addParameter(
            QgsProcessingParameterFileDestination("OUTPUT", "Page", "HTML files (*.html)")
        )

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, str]:
        output = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        words = [self.raster_path(parameters, context), "-o", output]
        for name, option in self.RASTERS.items():
            if parameters.get(name):
                words += [option, self.raster_path(parameters, context, name)]
        words += self.vector_words("--polygons", "POLYGONS", parameters, context, feedback)
        self.call(words, parameters, context, feedback)
        return {"OUTPUT": output}


class Provider(QgsProcessingProvider):
    """The group of the toolbox."""

    def id(self) -> str:
        return "glnetgeo"

    def name(self) -> str:
        return "glnet-geo"

    def loadAlgorithms(self) -> None:
        for algorithm in (Predict(), Vectorize(), Report()):
            self.addAlgorithm(algorithm)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        return ["gpkg", "fgb", "shp", "geojson"]

    def supportsNonFileBasedOutput(self) -> bool:
        return False


class Plugin:
    """What QGIS starts and stops."""

    def __init__(self) -> None:
        self._provider: Provider | None = None

    def initProcessing(self) -> None:
        """Adds the group to the toolbox."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """The same for a QGIS with a window."""
        self.initProcessing()

    def unload(self) -> None:
        """Takes it away again."""
        QgsApplication.processingRegistry().removeProvider(self._provider)


def classFactory(interface: Any) -> Plugin:
    """What QGIS calls first."""
    return Plugin()

"""Land-cover maps from satellite and aerial scenes of any size with GLNet.

The layers, from the bottom up; a module imports from its own floor downwards only:

    grid, ground, legend, errors, outputs, runs, ... values and files, no rasters, no torch
    tiling, block_layout, metrics, models            integers, scores, networks
    sieve, tracing, holes, simplifying, lattice      runs of class ids to polygons in pixels
    raster, radiometry, features, checkpoint, ...    what is read and written
    class_raster, vector_output, ...                 class rasters in, vector files out
    blending, segmenter, mapping, prediction         a scene through a model
    preflight, trial, rehearsal, planning            what that will take, measured on a part of it
    vectorizing                                      a class raster to polygons
    stratified_sampling, labelled_sample             a class raster to points, and areas from them
    zone_statistics, zonal                           a class raster by zone
    evaluation                                       class rasters against references
    change_*                                         class rasters against older ones
    reporting                                        a class raster as a page to look at
    labels, sampling, training, validation           a model from labelled scenes
    batch_*, engines, batching                       many scenes to both, on one machine or many
    fitting, demonstration                           whole jobs of several of these
    cli                                              Click and nothing else

Public names are imported when they are first used, so that `import glnet_geo` stays light.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glnet_geo.area_estimates import AreaEstimates, estimate_areas
    from glnet_geo.batch_report import BatchOptions, BatchReport
    from glnet_geo.batching import batch
    from glnet_geo.change_detection import ChangeRules, detect_change
    from glnet_geo.change_summary import ChangeSummary
    from glnet_geo.checkpoint import ModelCard, read_card
    from glnet_geo.demonstration import run_demo
    from glnet_geo.errors import GlnetGeoError
    from glnet_geo.evaluation import evaluate
    from glnet_geo.evaluation_result import Evaluation
    from glnet_geo.fitting import Training, fit
    from glnet_geo.importing import import_checkpoints
    from glnet_geo.labelled_sample import assess_areas
    from glnet_geo.legend import LandCover, Legend
    from glnet_geo.loaded_model import Model, load_model
    from glnet_geo.map_options import MapOptions
    from glnet_geo.map_summary import MapSummary
    from glnet_geo.planning import ScenePlan, plan_scene
    from glnet_geo.polygon_options import PolygonOptions
    from glnet_geo.prediction import predict
    from glnet_geo.reporting import ReportSources, ReportSummary, write_report
    from glnet_geo.sample_design import SampleDesign, Stratum
    from glnet_geo.sample_size import SampleSize
    from glnet_geo.stratified_sampling import SampleSummary, draw_sample
    from glnet_geo.tiling import FrameExtent
    from glnet_geo.training_options import TrainingOptions
    from glnet_geo.units import Area, Length
    from glnet_geo.validity import Validity
    from glnet_geo.vector_summary import VectorSummary
    from glnet_geo.vectorizing import Generalisation, vectorize
    from glnet_geo.zonal import measure_zones
    from glnet_geo.zone_statistics import ZoneStatistics

_HOMES = {
    "Area": "units",
    "AreaEstimates": "area_estimates",
    "BatchOptions": "batch_report",
    "BatchReport": "batch_report",
    "ChangeRules": "change_detection",
    "ChangeSummary": "change_summary",
    "Evaluation": "evaluation_result",
    "FrameExtent": "tiling",
    "Generalisation": "vectorizing",
    "GlnetGeoError": "errors",
    "LandCover": "legend",
    "Legend": "legend",
    "Length": "units",
    "MapOptions": "map_options",
    "MapSummary": "map_summary",
    "Model": "loaded_model",
    "ModelCard": "checkpoint",
    "PolygonOptions": "polygon_options",
    "ReportSources": "reporting",
    "ReportSummary": "reporting",
    "SampleDesign": "sample_design",
    "SampleSize": "sample_size",
    "SampleSummary": "stratified_sampling",
    "ScenePlan": "planning",
    "Stratum": "sample_design",
    "Training": "fitting",
    "TrainingOptions": "training_options",
    "Validity": "validity",
    "VectorSummary": "vector_summary",
    "ZoneStatistics": "zone_statistics",
    "assess_areas": "labelled_sample",
    "batch": "batching",
    "detect_change": "change_detection",
    "draw_sample": "stratified_sampling",
    "estimate_areas": "area_estimates",
    "evaluate": "evaluation",
    "fit": "fitting",
    "import_checkpoints": "importing",
    "load_model": "loaded_model",
    "measure_zones": "zonal",
    "plan_scene": "planning",
    "predict": "prediction",
    "read_card": "checkpoint",
    "run_demo": "demonstration",
    "vectorize": "vectorizing",
    "write_report": "reporting",
}

__all__ = [
    "Area",
    "AreaEstimates",
    "BatchOptions",
    "BatchReport",
    "ChangeRules",
    "ChangeSummary",
    "Evaluation",
    "FrameExtent",
    "Generalisation",
    "GlnetGeoError",
    "LandCover",
    "Legend",
    "Length",
    "MapOptions",
    "MapSummary",
    "Model",
    "ModelCard",
    "PolygonOptions",
    "ReportSources",
    "ReportSummary",
    "SampleDesign",
    "SampleSize",
    "SampleSummary",
    "ScenePlan",
    "Stratum",
    "Training",
    "TrainingOptions",
    "Validity",
    "VectorSummary",
    "ZoneStatistics",
    "assess_areas",
    "batch",
    "detect_change",
    "draw_sample",
    "estimate_areas",
    "evaluate",
    "fit",
    "import_checkpoints",
    "load_model",
    "measure_zones",
    "plan_scene",
    "predict",
    "read_card",
    "run_demo",
    "vectorize",
    "write_report",
]

_root = Path(__file__).parent.parent
if (_root / "setup.cfg").is_file():
    # setup.cfg maps `cli/` and `models/` of a checkout into this package. Where the checkout itself
    # is on the path (`python -m pytest`), the mapping has to be made here.
    __path__.append(str(_root))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

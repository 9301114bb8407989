"""The directions of imports, as the package's docstring states them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = (
    {
        "allocation",
        "attribute_table",
        "bands",
        "batch_events",
        "change_legend",
        "batch_record",
        "buffers",
        "chip",
        "class_table",
        "csv_cells",
        "deepglobe",
        "errors",
        "figures",
        "filling",
        "grid",
        "ground",
        "journal",
        "legend",
        "manifest",
        "map_mosaic",
        "map_summary",
        "markup",
        "model_options",
        "mosaic",
        "outputs",
        "precision",
        "remote",
        "results_table",
        "run_lock",
        "runs",
        "safe_vectors",
        "safety",
        "sample_design",
        "sample_size",
        "scene_globs",
        "scene_inputs",
        "scene_lists",
        "scene_names",
        "sidecar",
        "splits",
        "stac_items",
        "table_columns",
        "uncertainty",
        "units",
        "validity",
        "vector_summary",
        "vrt_tiles",
    },
    {
        "tiling",
        "block_layout",
        "metrics",
        "models",
        "devices",
        "kernels",
        "union_find",
        "heap",
        "dissolving",
        "matrix_drawing",
        "sieve",
        "lattice",
        "sweep_tables",
        "boundary",
        "simplifying",
        "holes",
        "rings",
        "tracing",
        "area_estimates",
        "sample_drawing",
        "boundary_scores",
        "calibration",
        "change_matrix",
        "change_rules",
        "change_summary",
    },
    {
        "alignment",
        "color_values",
        "label_sources",
        "reference_labels",
        "footprint",
        "georeference",
        "raster",
        "raster_output",
        "raster_parts",
        "safe_raster",
        "radiometry",
        "features",
        "feature_output",
        "feature_table",
        "opening",
        "outline_drawing",
        "outlines",
        "label_columns",
        "label_values",
        "label_rasters",
        "label_polygons",
        "labels",
        "checkpoint",
        "importing",
        "modelzoo",
        "datasets",
        "labelled_scene",
        "census",
        "sampling",
        "schedule",
        "training_options",
        "pyramids",
        "quicklook",
        "report_layers",
        "scene",
        "scene_facts",
        "scene_view",
        "spooling",
        "stored_bytes",
        "scenery",
        "scene_city",
        "synthetic",
        "class_raster",
        "class_rows",
        "change_output",
        "arrow_stream",
        "geopackage",
        "layer_writer",
        "sample_layer",
        "sample_points",
        "qgis_style",
        "stac_catalog",
        "stac_fields",
        "tile_groups",
        "tile_mosaic",
        "vector_formats",
        "vector_layer",
        "vector_output",
        "pixel_coverage",
        "zone_coverage",
        "zone_names",
        "zone_polygons",
    },
    {
        "blending",
        "block_scores",
        "change_detection",
        "change_files",
        "change_source",
        "class_matching",
        "confusion_files",
        "evaluation",
        "evaluation_pairs",
        "evaluation_plan",
        "evaluation_result",
        "evaluation_tally",
        "map_options",
        "frame_source",
        "layer_output",
        "loaded_model",
        "mapping",
        "segmenter",
        "scene_setup",
        "preflight",
        "report_accuracy",
        "report_content",
        "report_map",
        "report_page",
        "report_parts",
        "report_sections",
        "reporting",
        "wanted_frames",
        "trial",
        "rehearsal",
        "memory_fit",
        "planning",
        "prediction",
        "new_models",
        "training_log",
        "training_state",
        "stage_trainer",
        "training",
        "time_budget",
        "validation",
        "training_report",
        "polygon_fields",
        "vectorizing",
        "polygon_options",
        "stratified_sampling",
        "labelled_sample",
        "zonal",
        "zone_chart",
        "zone_files",
        "zone_statistics",
    },
    {
        "batch_index",
        "batch_jobs",
        "batch_plan",
        "batch_run",
        "batch_ledger",
        "batch_report",
        "batch_request",
        "batch_resources",
        "batch_results",
        "engines",
        "dask_worker",
        "local_workers",
        "dask_engine",
        "batching",
        "cluster_client",
    },
    {"scene_check", "split_leaks", "dataset_check", "fitting", "demonstration"},
    {"cli"},
)
FENCES = {
    "click": {"cli"},
    "rich": {"cli"},
    "rasterio": {
        "raster",
        "opening",
        "raster_output",
        "raster_parts",
        "layer_output",
        "georeference",
        "features",
        "spooling",
        "stored_bytes",
        "class_raster",
        "safe_raster",
        "alignment",
    },
    "affine": {"grid"},
    "distributed": {"dask_engine"},
    "filelock": {"run_lock"},
    "pystac": {"stac_catalog"},
    "exactextract": {"pixel_coverage"},
    "shapely": {
        "feature_output",
        "feature_table",
        "features",
        "outline_drawing",
        "outlines",
        "tile_groups",
        "pixel_coverage",
        "zone_coverage",
        "zone_polygons",
    },
    "geopandas": {"features", "outlines", "sample_points"},
    "numba": {"kernels"},
    "matplotlib": {"figures", "matrix_drawing", "zone_chart"},
    "pyogrio": {
        "feature_output",
        "feature_table",
        "layer_writer",
        "outlines",
        "sample_points",
        "vector_formats",
        "vector_layer",
        "vector_output",
    },
    "pyarrow": {"feature_output", "feature_table", "vector_formats"},
    "pyproj": {
        "features",
        "footprint",
        "outlines",
        "sample_points",
        "vector_formats",
        "vector_layer",
        "zone_polygons",
    },
    "sqlite3": {"geopackage", "safe_vectors"},
    "torch": {
        "models",
        "checkpoint",
        "devices",
        "fitting",
        "importing",
        "new_models",
        "segmenter",
        "stage_trainer",
        "training",
        "training_log",
        "training_state",
        "validation",
    },
    "safetensors": {"block_scores", "checkpoint"},
}


def modules():
    """(part of the package, file): `cli` and `models` count as one part each."""
    for path in (ROOT / "glnet_geo").glob("*.py"):
        if not path.stem.startswith("__"):
            yield path.stem, path
    for folder in ("cli", "models"):
        for path in (ROOT / folder).glob("*.py"):
            yield folder, path


def imported(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module


def floor(part: str) -> int:
    return next(level for level, parts in enumerate(FLOORS) if part in parts)


@pytest.mark.parametrize(("part", "path"), list(modules()), ids=lambda value: str(value)[-30:])
def test_imports_go_down_and_stay_inside_their_fences(part, path):
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package == "glnet_geo" and rest:
            target = rest.split(".")[0]
            assert floor(target) <= floor(part), f"{part} imports {target}"
        assert part in FENCES.get(package, {part}), f"{part} imports {package}"


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_help_is_light():
    code = (
        "import sys; sys.argv = ['glnet-geo', '--help']\n"
        "import atexit; atexit.register(lambda: print([m for m in "
        "('torch', 'rasterio', 'numpy', 'geopandas', 'matplotlib') if m in sys.modules]))\n"
        "import glnet_geo.__main__"
    )
    assert run_python(code).splitlines()[-1] == "[]"


def test_no_package_is_installed_at_top_level():
    code = (
        "import sys, glnet_geo.models.glnet, glnet_geo.cli.main\n"
        "print([m for m in ('models', 'cli') if m in sys.modules])"
    )
    assert run_python(code).strip() == "[]"


def test_public_names_resolve_and_no_module_bears_one():
    import glnet_geo

    for name in glnet_geo.__all__:
        assert getattr(glnet_geo, name) is not None
    assert not {path.stem for path in (ROOT / "glnet_geo").glob("*.py")} & set(glnet_geo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = glnet_geo.nonsense

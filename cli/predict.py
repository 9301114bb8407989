"""`glnet-geo predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    json_option,
    layer_options,
    layers_of,
    listed,
    map_options_of,
    mapping_options,
    max_memory_option,
    output_option,
    overwrite_option,
    resume_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.legend import NODATA

if TYPE_CHECKING:
    from glnet_geo.map_summary import MapSummary


@click.command()
@click.argument("scene")
@output_option("Class raster (GeoTIFF)")
@mapping_options
@layer_options
@max_memory_option
@overwrite_option
@resume_option
@json_option
@verbosity_options
def predict(scene: str, output: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Map the land cover of SCENE, a raster file that GDAL opens, or a URL of one.

    Example: glnet-geo predict scene.tif -o landcover.tif

    The result is a cloud-optimized GeoTIFF on exactly the scene's grid: class ids with colours
    and names, 255 where the scene has no data. How sure it is can be had in rasters like it, in
    which 0 to 254 stand for 0 to 1. An interrupted run keeps what is finished beside the output;
    --resume continues it.
    """
    from glnet_geo.prediction import map_to_file
    from glnet_geo.remote import scene_path

    maps, layers = map_options_of(options), layers_of(options)
    with progress("Predicting", "frames", quiet) as report:
        summary = map_to_file(
            scene_path(scene), output, maps, layers=layers, report=report, **options
        )
    if as_json:
        click.echo(json.dumps(summary.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(summary), err=True)


def describe(summary: MapSummary) -> str:
    """The summary as a person pastes it into a mail."""
    grid = summary.grid
    lines = [f"{summary.output}   {grid.facts}, model {summary.model}"]
    megapixels = grid.height * grid.width / 1e6
    peak = f", peak {summary.peak_bytes / 1e9:.1f} GB" if summary.peak_bytes else ""
    speed = f"{summary.seconds:.1f} s ({summary.megapixels_per_second:.2g} Mpx/s)"
    lines += [f"  {line}" for line in listed(_class_lines(summary))]
    without = summary.pixels.get(NODATA, 0) / (grid.height * grid.width)
    if without:
        lines.append(f"  ({100 * without:.1f} % of the scene has no data)")
    if summary.areas_m2 is not None and not summary.area_rule.startswith("planar"):
        lines.append(f"  areas: {summary.area_rule}")
    lines += [f"  {layer.path}   {layer.meaning}" for layer in summary.layers.values()]
    return "\n".join([*lines, f"  {megapixels:.1f} Mpx in {speed}{peak}"])


def _class_lines(summary: MapSummary) -> list[str]:
    """A line for each class that the map can have, the largest first."""
    legend, pixels = summary.legend, summary.pixels
    counted = {legend.classes[k].id for k in legend.counted}
    shown = [c for c in legend.classes if c.id in counted or pixels.get(c.id)]
    width = max(len(land_cover.name) for land_cover in shown)
    lines = []
    for land_cover in sorted(shown, key=lambda one: -pixels.get(one.id, 0)):
        area, share = summary.area_ha(land_cover.id), summary.share(land_cover.id)
        area_text = "" if area is None else f"  {area:10,.1f} ha"
        share_text = "-" if share is None else f"{100 * share:.1f} %"
        lines.append(f"{land_cover.name:<{width}}{area_text}{share_text:>10}")
    return lines

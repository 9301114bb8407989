"""`glnet-geo predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    device_option,
    json_option,
    listed,
    output_option,
    overwrite_option,
    progress,
    resume_option,
    verbosity_options,
)
from glnet_geo.cli.values import PATH, BandList, FrameSize, Interval, Metres, Number
from glnet_geo.legend import NODATA
from glnet_geo.modelzoo import DEFAULT_MODEL

if TYPE_CHECKING:
    from glnet_geo.map_summary import MapSummary


@click.command()
@click.argument("scene")
@output_option("Class raster (GeoTIFF)")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME|FILE",
    help="A bundled model (see glnet-geo models list) or a model file.",
)
@click.option(
    "--bands",
    type=BandList(),
    help="Bands of the scene in the model's order: numbers from 1, descriptions or colours, such "
    "as 4,3,2 or nir,red,green. Default: those named like the model's, else the first ones.",
)
@click.option(
    "--scale",
    type=Interval(),
    multiple=True,
    help="Values that become black and white, such as 0,3000: once for all bands, or once for "
    "each. Default: 8-bit pixels as they are, others from the 1st to the 99th percentile.",
)
@click.option("--gsd", type=Metres(), help="Size of the scene's pixels, whatever its CRS says.")
@click.option("--aoi", type=PATH, help="Vector file: map only what lies in its polygons.")
@click.option(
    "--any-valid",
    is_flag=True,
    help="Take a pixel as valid where any of the bands has data. Default: where all have.",
)
@click.option("--nodata", type=Number(), help="Value that means no data, whatever the file says.")
@click.option(
    "--nodata-tolerance",
    type=Number(least=0),
    default=0.0,
    show_default=True,
    help="Take values so near to nodata as nodata, as in the collar of lossy JPEG.",
)
@click.option(
    "--frame",
    type=FrameSize(),
    default="card",
    show_default=True,
    metavar="N|card|scene",
    help="What the network sees at once: N pixels, about what its card says, or the whole scene.",
)
@click.option(
    "--reference",
    is_flag=True,
    help="Follow the reference implementation's arithmetic to the letter.",
)
@device_option
@overwrite_option
@resume_option
@json_option
@verbosity_options
def predict(
    scene: str,
    output: Path,
    any_valid: bool,
    nodata: float | None,
    nodata_tolerance: float,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Map the land cover of SCENE, a raster file that GDAL opens, or a URL of one.

    The result is a cloud-optimized GeoTIFF on exactly the scene's grid: class ids with colours
    and names, 255 where the scene has no data. An interrupted run keeps what is finished beside
    the output; --resume continues it.
    """
    from glnet_geo.prediction import predict as predict_scene
    from glnet_geo.remote import scene_path
    from glnet_geo.validity import Validity

    validity = Validity(any_valid, nodata, nodata_tolerance)
    with progress("Predicting", "frames", quiet) as report:
        summary = predict_scene(
            scene_path(scene), output, validity=validity, report=report, **options
        )
    if as_json:
        click.echo(json.dumps(summary.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(summary), err=True)


def describe(summary: MapSummary) -> str:
    """The summary as a person pastes it into a mail."""
    grid = summary.grid
    facts = [f"{grid.width} x {grid.height} px"]
    if grid.gsd_m:
        facts.append(f"{grid.gsd_m:.3g} m")
    if grid.crs_label:
        facts.append(grid.crs_label)
    lines = [f"{summary.output}   {', '.join(facts)}, model {summary.model}"]
    megapixels = grid.height * grid.width / 1e6
    peak = f", peak {summary.peak_bytes / 1e9:.1f} GB" if summary.peak_bytes else ""
    speed = f"{summary.seconds:.1f} s ({summary.megapixels_per_second:.2g} Mpx/s)"
    lines += [f"  {line}" for line in listed(_class_lines(summary))]
    without = summary.pixels.get(NODATA, 0) / (grid.height * grid.width)
    if without:
        lines.append(f"  ({100 * without:.1f} % of the scene has no data)")
    if summary.areas_m2 is not None and not summary.area_rule.startswith("planar"):
        lines.append(f"  areas: {summary.area_rule}")
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

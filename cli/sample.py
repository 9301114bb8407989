"""`glnet-geo sample`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    json_option,
    listed,
    output_option,
    overwrite_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH

if TYPE_CHECKING:
    from glnet_geo.sample_design import SampleDesign, Stratum
    from glnet_geo.stratified_sampling import SampleSummary

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_RULE = ("expected_accuracy", "standard_error")


@click.command()
@click.argument("raster", metavar="MAP")
@output_option("GeoPackage")
@click.option(
    "--size",
    type=click.IntRange(2),
    help="Points in all. Default: as many as --standard-error needs.",
)
@click.option(
    "--standard-error",
    type=_SHARE,
    help="Standard error that the overall accuracy shall have; half of it needs four times the "
    "points.  [default: 0.02]",
)
@click.option(
    "--expected-accuracy",
    type=_SHARE,
    help="A guess at the overall accuracy, for --standard-error.  [default: 0.8]",
)
@click.option(
    "--min-per-class",
    type=click.IntRange(2),
    default=50,
    show_default=True,
    help="Points that a rare class gets at least, or all its pixels; the others go by area.",
)
@click.option("--aoi", type=PATH, help="Vector file: draw only from what lies in its polygons.")
@click.option(
    "--classes",
    multiple=True,
    metavar="NAMES",
    help="Draw from these classes only: names or ids, such as building,water.",
)
@click.option("--exclude", multiple=True, metavar="NAMES", help="Leave these classes out.")
@click.option("--band", type=click.IntRange(1), help="The band that holds the class ids.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another one gives other points.",
)
@overwrite_option
@json_option
@verbosity_options
def sample(raster: str, output: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Draw random points from each class of MAP, to be labelled for area figures that hold.

    Example: glnet-geo sample landcover.tif -o sample.gpkg

    Open the GeoPackage in QGIS over an image that is better than the scene, and fill in the column
    "reference" of each point, in the order of "id": the class at the pixel of the map that the
    point is the centre of. The map's own class is hidden, so that it sways nobody. The number of
    points, and how they go to the classes, follow Olofsson et al. 2014.
    """
    from glnet_geo.sample_size import SampleSize
    from glnet_geo.stratified_sampling import draw_sample

    total, least = options.pop("size"), options.pop("min_per_class")
    rule = {name: value for name in _RULE if (value := options.pop(name)) is not None}
    if rule and total is not None:
        raise click.UsageError("--size is the number of points. Leave it out, or the accuracies.")
    size = SampleSize(total, least, **rule)
    with progress("Drawing", "rows", quiet) as report:
        summary = draw_sample(raster, output, size=size, report=report, **options)
    if as_json:
        click.echo(json.dumps(summary.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(summary), err=True)


def describe(summary: SampleSummary) -> str:
    """The summary as a person pastes it into a mail."""
    design = summary.design
    peak = f", peak {summary.peak_bytes / 1e9:.1f} GB" if summary.peak_bytes else ""
    strata = (f"  {line}" for line in listed(_stratum_lines(design)))
    return "\n".join(
        [
            f"{summary.output}   layer {summary.layer}, {design.points:,} points, "
            f"seed {design.seed}",
            *strata,
            f"  areas: {design.area_rule}",
            f"  in {summary.seconds:.1f} s{peak}",
        ]
    )


def _stratum_lines(design: SampleDesign) -> list[str]:
    """A line for each stratum, the largest first."""
    width = max(len(one.name) for one in design.strata)

    def line(one: Stratum) -> str:
        area = f"{one.area:,.0f} px" if design.unit == "px" else f"{one.area / 1e4:,.1f} ha"
        share = f"{100 * one.area / design.area:.1f} %"
        return f"{one.name:<{width}}  {area:>13}{share:>10}{one.points:>10,} points"

    return [line(one) for one in sorted(design.strata, key=lambda one: -one.area)]

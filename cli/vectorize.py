"""`glnet-geo vectorize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    generalisation_options,
    json_option,
    listed,
    output_option,
    overwrite_option,
    progress,
    verbosity_options,
)
from glnet_geo.cli.values import PATH

if TYPE_CHECKING:
    from glnet_geo.vector_summary import VectorSummary


@click.command()
@click.argument("raster")
@output_option("Vector file (.gpkg, .fgb, .parquet, .shp, .geojsonl, .geojson)")
@generalisation_options
@click.option(
    "--classes",
    multiple=True,
    metavar="NAMES",
    help="Write these classes only: names or ids, such as building,water.",
)
@click.option("--exclude", multiple=True, metavar="NAMES", help="Leave these classes out.")
@click.option(
    "--confidence",
    type=PATH,
    help="A raster on the same grid: its mean over each polygon becomes a field.",
)
@click.option(
    "--dissolve", is_flag=True, help="One multipolygon a class. All of them must fit in memory."
)
@click.option("--layer", help="Name of the layer; landcover if none is given.")
@click.option("--layer-per-class", is_flag=True, help="A layer for each class instead of one.")
@click.option(
    "--append",
    is_flag=True,
    help="Add to an existing GeoPackage; its other layers stay. With --overwrite, a layer of the "
    "same name is replaced.",
)
@click.option("--band", type=click.IntRange(1), help="The band that holds the class ids.")
@overwrite_option
@json_option
@verbosity_options
def vectorize(
    raster: str, output: Path, layer: str | None, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Make polygons of RASTER, a class raster of any origin, or a URL of one.

    Example: glnet-geo vectorize landcover.tif -o landcover.gpkg --min-area 50m2 --simplify 1m

    The polygons leave no gaps and no overlaps, neighbours share their borders vertex for vertex,
    and a GeoPackage opens in QGIS in the colours of the classes. Small regions go first
    (--min-area), then holes (--fill-holes), then borders become smoother (--simplify).
    """
    if layer is not None and options["layer_per_class"]:
        raise click.UsageError("--layer names a single layer. Leave it out, or --layer-per-class.")
    from glnet_geo.vectorizing import DEFAULT_LAYER, Generalisation
    from glnet_geo.vectorizing import vectorize as vectorize_raster

    names = ("connectivity", "min_area", "fill_holes", "simplify")
    generalisation = Generalisation(**{name: options.pop(name) for name in names})
    with progress("Vectorizing", "rows", quiet) as report:
        summary = vectorize_raster(
            raster,
            output,
            generalisation=generalisation,
            layer=DEFAULT_LAYER if layer is None else layer,
            report=report,
            **options,
        )
    if as_json:
        click.echo(json.dumps(summary.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(summary), err=True)


def describe(summary: VectorSummary) -> str:
    """The summary as a person pastes it into a mail."""
    layers = ", ".join(listed(summary.layers))
    polygons, vertices = f"{summary.polygons:,} polygons", f"{summary.vertices:,} vertices"
    head = f"{summary.output}   layer{'s' if len(summary.layers) > 1 else ''} {layers}"
    peak = f", peak {summary.peak_bytes / 1e9:.1f} GB" if summary.peak_bytes else ""
    foot = f"  {polygons}, {vertices} in {summary.seconds:.1f} s{peak}"
    classes = (f"  {line}" for line in listed(_class_lines(summary)))
    return "\n".join([head, *classes, f"  areas: {summary.area_rule}", foot])


def _class_lines(summary: VectorSummary) -> list[str]:
    """A line for each class, the largest first."""
    whole = sum(one.area for one in summary.totals)
    width = max((len(one.land_cover.name) for one in summary.totals), default=0)
    lines = []
    for one in sorted(summary.totals, key=lambda total: -total.area):
        area = f"{one.area:,.0f} px" if summary.unit == "px" else f"{one.area / 1e4:,.1f} ha"
        share = f"{100 * one.area / whole:.1f} %"
        name = f"{one.land_cover.name:<{width}}"
        lines.append(f"{name}  {area:>13}{share:>10}{one.polygons:>12,} polygons")
    return lines

"""`glnet-geo vectorize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    choice_options,
    generalisation_of,
    generalisation_options,
    json_option,
    layer_of,
    listed,
    output_option,
    overwrite_option,
    safe_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH

if TYPE_CHECKING:
    from glnet_geo.vector_summary import VectorSummary


@click.command()
@click.argument("raster")
@output_option("Vector file (.gpkg, .fgb, .parquet, .shp, .geojsonl, .geojson)")
@generalisation_options
@choice_options
@click.option(
    "--confidence",
    type=PATH,
    help="A raster on the same grid: its mean over each polygon becomes a field.",
)
@click.option(
    "--append",
    is_flag=True,
    help="Add to an existing GeoPackage; its other layers stay. With --overwrite, a layer of the "
    "same name is replaced.",
)
@click.option("--band", type=click.IntRange(1), help="The band that holds the class ids.")
@safe_option
@overwrite_option
@json_option
@verbosity_options
def vectorize(raster: str, output: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Make polygons of RASTER, a class raster of any origin, or a URL of one.

    Example: glnet-geo vectorize landcover.tif -o landcover.gpkg --min-area 50m2 --simplify 1m

    The polygons leave no gaps and no overlaps, neighbours share their borders vertex for vertex,
    and a GeoPackage opens in QGIS in the colours of the classes. Small regions go first
    (--min-area), then holes (--fill-holes), then borders become smoother (--simplify).
    """
    from glnet_geo.vectorizing import vectorize as vectorize_raster

    generalisation, layer = generalisation_of(options), layer_of(options)
    with progress("Vectorizing", "rows", quiet) as report:
        summary = vectorize_raster(
            raster,
            output,
            generalisation=generalisation,
            layer=layer,
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

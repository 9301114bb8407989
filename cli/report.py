"""`glnet-geo report`."""

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
    safe_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH, BandList

if TYPE_CHECKING:
    from glnet_geo.reporting import ReportSummary

_NEEDED = {
    "bands": "scene",
    "layer": "polygons",
    "legend": "reference",
    "ignore": "reference",
    "align": "reference",
    "attribute": "reference",
}
"""What says how another file is read."""


@click.command()
@click.argument("raster", metavar="MAP")
@output_option("HTML file")
@click.option("--scene", metavar="FILE", help="The scene, to be shown under the map.")
@click.option(
    "--bands",
    type=BandList(),
    help="Bands of the scene to show as red, green and blue, or a single one in grey. Default: "
    "those that say so, else the first three.",
)
@click.option("--polygons", type=PATH, metavar="FILE", help="Polygons whose outlines are drawn.")
@click.option("--layer", help="Their layer, if there are several.")
@click.option(
    "--confidence", metavar="FILE", help="How sure the map is, as predict --confidence writes it."
)
@click.option(
    "--reference", metavar="FILE", help="A class raster or polygons to score the map against."
)
@click.option(
    "--legend",
    metavar="NAME|FILE",
    help="The classes of the reference, see glnet-geo evaluate. Needed for masks in a legend's "
    "colours.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="VALUES",
    help="Values of the reference that count nowhere: ids or names, such as 0,255.",
)
@click.option("--align", is_flag=True, help="Read a reference on another grid on that of the map.")
@click.option("--attribute", help="Field of a vector reference that says the class, by id or name.")
@click.option("--band", type=click.IntRange(1), help="The map's band that holds the class ids.")
@safe_option
@overwrite_option
@json_option
@verbosity_options
def report(raster: str, output: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Show MAP, a class raster of any origin, on one page for a browser.

    Example: glnet-geo report landcover.tif --scene scene.tif -o report.html

    The page is one file that loads nothing from anywhere: the map over its scene to swipe, zoom and
    move, areas and shares of the classes, how sure and how right the map is where that is known,
    and how it was made. It prints to A4.
    """
    for name, needed in _NEEDED.items():
        if options[name] and options[needed] is None:
            raise click.UsageError(f"--{name} says how to read the {needed}. Add --{needed}.")
    from glnet_geo.legend import find_legend
    from glnet_geo.reporting import ReportSources, write_report

    legend = options.pop("legend")
    own = {name: options.pop(name) for name in ("band", "safe", "overwrite")}
    options["bands"] = options["bands"] or ()
    sources = ReportSources(legend=None if legend is None else find_legend(legend), **options)
    with progress("Reading", "rows", quiet) as show:
        summary = write_report(raster, output, sources=sources, report=show, **own)
    if as_json:
        click.echo(json.dumps(summary.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(summary), err=True)


def describe(summary: ReportSummary) -> str:
    """The summary as a person pastes it into a mail."""
    from glnet_geo.evaluation_result import share_text
    from glnet_geo.report_content import area_text

    whole = sum(one.area for one in summary.classes)
    width = max((len(one.land_cover.name) for one in summary.classes), default=0)
    lines = [
        f"{one.land_cover.name:<{width}}  {area_text(one.area, summary.unit, whole):>13}"
        f"{share_text(one.share, 1.0):>10}"
        for one in summary.classes
    ]
    height, columns = summary.shown
    peak = f", peak {summary.peak_bytes / 1e9:.1f} GB" if summary.peak_bytes else ""
    facts = [f"  areas: {summary.area_rule}"]
    if summary.mean_confidence is not None:
        facts.append(f"  mean confidence {summary.mean_confidence:.3f}")
    if summary.evaluation is not None:
        scores = summary.evaluation.scores
        figures = {"mean IoU": scores.mean_iou, "accuracy": scores.accuracy}
        known = [f"{name} {value:.3f}" for name, value in figures.items() if value is not None]
        facts.append(f"  {', '.join(known) or 'no scores'}")
    return "\n".join(
        [
            f"{summary.output}   {summary.n_bytes / 1e6:.1f} MB, map in {columns} x {height} px",
            *(f"  {line}" for line in listed(lines)),
            *facts,
            f"  in {summary.seconds:.1f} s{peak}",
        ]
    )

"""`glnet-geo evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from glnet_geo.cli.area_table import describe_areas
from glnet_geo.cli.options import (
    json_option,
    listed,
    overwrite_option,
    safe_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH, LengthValue

if TYPE_CHECKING:
    from glnet_geo.evaluation_result import Evaluation

_MOST_COLUMNS = 12  # of a table that a mail can hold
_NAME_LENGTH = 14
_FOR_AREAS = {
    "prediction",
    "reference",
    "area",
    "output",
    "layer",
    "band",
    "safe",
    "overwrite",
    "as_json",
    "quiet",
}


@click.command()
@click.argument("prediction")
@click.argument("reference", required=False)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="JSON file to write, such as scores.json; the confusion matrix comes beside it as "
    "scores.csv and scores.png.",
)
@click.option(
    "--legend",
    metavar="NAME|FILE",
    help="The classes: a built-in legend, such as deepglobe, or a JSON file. Default: those that "
    "the files name. Needed for masks in a legend's colours.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="VALUES",
    help="Values of the reference that count nowhere: ids or names, such as 0,255.",
)
@click.option(
    "--align", is_flag=True, help="Read references on other grids on that of the prediction."
)
@click.option("--attribute", help="Field of a vector reference that says the class, by id or name.")
@click.option("--layer", help="Layer of a vector reference.")
@click.option("--band", type=click.IntRange(1), help="The prediction's band that holds the ids.")
@click.option("--reference-band", type=click.IntRange(1), help="The reference's likewise.")
@click.option(
    "--boundary-tolerance",
    type=LengthValue(),
    default="3px",
    show_default=True,
    help="How far a border may be off for boundary F1: 3px, 1.5m.",
)
@click.option(
    "--area",
    is_flag=True,
    help="REFERENCE is a labelled sample (see glnet-geo sample): area of each class, adjusted for "
    "the map's errors, with 95 % confidence intervals.",
)
@safe_option
@overwrite_option
@json_option
@verbosity_options
@click.pass_context
def evaluate(
    context: click.Context,
    /,
    prediction: str,
    reference: str | None,
    legend: str | None,
    area: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Score PREDICTION, a class raster, against REFERENCE, a class raster or polygons.

    Example: glnet-geo evaluate landcover.tif truth.gpkg -o scores.json

    Both may be folders, whose files are paired by name (119.tif with 119_mask.png); or PREDICTION
    is a CSV with the columns prediction and reference. All pairs are pooled. A pixel counts where
    the reference has a class; where the prediction has none there, that is an error.
    """
    if area:
        _check_area_options(context, reference)
        _evaluate_area(prediction, str(reference), as_json, options)
        return
    from glnet_geo.evaluation import evaluate as evaluate_files
    from glnet_geo.legend import find_legend

    with progress("Evaluating", "rows", quiet) as report:
        found = evaluate_files(
            prediction,
            reference,
            legend=None if legend is None else find_legend(legend),
            report=report,
            **options,
        )
    click.echo(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else describe(found))
    if options["output"] is not None and not quiet:
        click.echo(f"{options['output']} and the confusion matrix beside it", err=True)


def _check_area_options(context: click.Context, reference: str | None) -> None:
    """Refuses what an area estimate has no use for."""
    if reference is None:
        raise click.UsageError("--area needs a labelled sample as REFERENCE: glnet-geo sample")
    for name in sorted(set(context.params) - _FOR_AREAS):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} has no use with --area.")


def _evaluate_area(prediction: str, reference: str, as_json: bool, options: dict[str, Any]) -> None:
    """Prints areas from a labelled sample, and writes them where an output is named."""
    from glnet_geo.labelled_sample import assess_areas
    from glnet_geo.outputs import check_output, write_whole
    from glnet_geo.remote import scene_path

    output, raster, sample = options["output"], scene_path(prediction), Path(reference)
    if output is not None:
        check_output(output, options["overwrite"], (Path(prediction), sample))
    found = assess_areas(
        raster, sample, layer=options["layer"], band=options["band"], safe=options["safe"]
    )
    text = json.dumps(found.to_dict(), ensure_ascii=False)
    if output is not None:
        write_whole(output, text.encode())
    click.echo(text if as_json else describe_areas(found))


def describe(found: Evaluation) -> str:
    """The scores as a person pastes them into a mail."""
    scores = found.scores
    boundary = f"boundary F1 within {found.boundary.tolerance}"
    lines = [
        *_pair_lines(found),
        "",
        *_class_lines(found),
        "",
        *_confusion_lines(found),
        "",
        f"  mean IoU {_number(scores.mean_iou)} over {_classes(scores.scored_classes)}, "
        f"mean F1 {_number(scores.mean_f1)}, mean {boundary} {_number(found.boundary.mean)}",
        f"  overall accuracy {_number(scores.accuracy)}, kappa {_number(scores.kappa)}",
    ]
    if found.ignored:
        values = [f"{value}: {pixels:,} px" for value, pixels in found.ignored.items()]
        lines.append(f"  ignored in the reference: {', '.join(listed(values))}")
    lines += [f"  note: {note}" for note in listed(found.notes)]
    peak = f", peak {found.peak_bytes / 1e9:.1f} GB" if found.peak_bytes else ""
    return "\n".join([*lines, f"  {found.seconds:.1f} s{peak}"])


def _pair_lines(found: Evaluation) -> Iterator[str]:
    """What was compared, and for several pairs how each of them fared."""
    from glnet_geo.evaluation_result import share_text

    part = f"{found.scores.pixels:,} of {found.all_pixels:,} px counted"
    part += f" ({share_text(found.scores.pixels, found.all_pixels)})"
    if len(found.pairs) == 1:
        (one,) = found.pairs
        aligned = " (aligned)" if one.is_aligned else ""
        yield f"{one.pair.prediction} against {one.pair.reference}{aligned}   {part}"
        return
    yield f"{len(found.pairs):,} pairs   {part}"
    yield from listed(
        [
            f"  {one.pair.prediction} against {one.pair.reference}"
            f"{' (aligned)' if one.is_aligned else ''}   {one.pixels:,} of {one.all_pixels:,} px, "
            f"mean IoU {_number(one.mean_iou)}, accuracy {_number(one.accuracy)}"
            for one in found.pairs
        ]
    )


def _class_lines(found: Evaluation) -> Iterator[str]:
    """The table: a line for each class."""
    from glnet_geo.evaluation_result import share_text

    scores = found.scores
    names = [one.name for one in found.classes]
    width = max(map(len, ["class", *names]))
    heads = ("IoU", "precision", "recall", "F1", "boundary F1")
    spans = [max(len(head), 5) + 2 for head in heads]
    cells = "".join(f"{head:>{span}}" for head, span in zip(heads, spans, strict=True))
    yield f"  {'class':<{width}}{cells}{'support px':>16}{'share':>9}"
    columns = (scores.iou, scores.precision, scores.recall, scores.f1, found.boundary.f1)
    for name in names:
        values = (_number(column[name]) for column in columns)
        cells = "".join(f"{value:>{span}}" for value, span in zip(values, spans, strict=True))
        support = scores.support[name]
        share = share_text(support, scores.pixels)
        yield f"  {name:<{width}}{cells}{support:>16,}{share:>9}"


def _confusion_lines(found: Evaluation) -> Iterator[str]:
    """What became of the pixels of each class, in percent."""
    table, names = found.table, [_short(one.name) for one in found.classes]
    if len(names) > _MOST_COLUMNS:
        yield f"  confusion matrix of {len(names)} classes: in the files of -o"
        return
    columns = [*names, "(none)"] if found.matrix.missed.any() else names
    width = max(map(len, ["reference", *names]))
    spans = [max(len(name), 5) + 2 for name in columns]
    yield "  % of a class of the reference predicted as"
    heads = (f"{name:>{span}}" for name, span in zip(columns, spans, strict=True))
    yield f"  {'reference':<{width}}{''.join(heads)}"
    for name, row in zip(names, table, strict=True):
        total = row.sum()
        shares = (f"{100 * count / total:.1f}" if total else "-" for count in row.tolist())
        cells = (f"{share:>{span}}" for share, span in zip(shares, spans, strict=False))
        yield f"  {name:<{width}}{''.join(cells)}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _classes(count: int) -> str:
    return f"{count} class{'es' if count != 1 else ''}"

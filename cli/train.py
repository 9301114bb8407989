"""`glnet-geo train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    device_option,
    json_option,
    overwrite_option,
    precision_option,
    resume_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.training_options import (
    learning_options,
    network_options,
    training_options_of,
)
from glnet_geo.cli.values import PATH, Duration, IntegerList

if TYPE_CHECKING:
    from glnet_geo.fitting import Training
    from glnet_geo.training import Progress


@click.command()
@click.argument("dataset", type=PATH)
@click.option("-o", "--output", type=PATH, help="Model file (safetensors) to write.")
@click.option(
    "--check", is_flag=True, help="Look at the dataset instead, and draw a sheet of samples."
)
@click.option("--data", type=PATH, help="Folder that the dataset's paths start from.")
@click.option(
    "--init",
    metavar="NAME|FILE",
    help="Model to start from, bundled or a file; its classes may be others. Default: a new one.",
)
@click.option(
    "--iterations",
    type=IntegerList(3, least=0),
    help="Steps of the three stages, 0 for those that --form leaves out. Default: 80,360,40.",
)
@click.option(
    "--time-budget",
    type=Duration(),
    help="Time for all instead of iterations, such as 2h or 90m: what a step takes is tried out "
    "first.",
)
@learning_options
@network_options
@click.option("--licence", default="not stated", show_default=True, help="Licence of the weights.")
@device_option
@precision_option
@overwrite_option
@resume_option
@json_option
@verbosity_options
@click.pass_context
def train(
    context: click.Context,
    /,
    dataset: Path,
    output: Path | None,
    check: bool,
    data: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a model on the labelled scenes of DATASET, a TOML file.

    Example: glnet-geo train town.toml -o town.safetensors --time-budget 2h

    The three stages run in turn: the global branch, the local one beside it, the global one again
    with the local maps. The model is scored on the scenes with split = "val". An interrupted run
    keeps its state beside the output; --resume continues it. Metrics, curves and pictures of
    held-out frames go to a folder beside the model (model.train/).
    """
    if check:
        from glnet_geo.cli.train_check import run_check

        code = run_check(dataset, data, output, options["overwrite"], as_json, quiet)
        context.exit(code)
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    from glnet_geo.fitting import fit

    chosen = training_options_of(options)
    with progress("Training", "iterations", quiet) as show:
        training = fit(
            dataset,
            output,
            chosen,
            data=data,
            report=lambda at: show(at.done, at.total, _note(at)),
            **options,
        )
    if as_json:
        click.echo(json.dumps(training.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(_described(training), err=True)


def _note(at: Progress) -> str:
    score = "" if at.mean_iou is None else f", mIoU {at.mean_iou:.3f}"
    left = _duration(at.seconds_left)
    return f" {at.stage.replace('_', ' ')}, loss {at.loss:.3f}{score}, {left} left"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _described(training: Training) -> str:
    card = training.card
    steps = "/".join(map(str, training.iterations))
    peak = f", peak {training.peak_bytes / 1e9:.1f} GB" if training.peak_bytes else ""
    lines = [
        f"{training.output}   {card.name} {card.version}, {len(card.legend)} classes",
        f"  {steps} iterations in {_duration(training.seconds)}{peak}",
    ]
    if card.scores:
        figures = (f"{name} {card.scores[name]}" for name in ("mean_iou", "accuracy"))
        lines.append(f"  on {card.scores['held_out']}: {', '.join(figures)}")
    return "\n".join([*lines, f"{training.report}   metrics, curves and pictures"])

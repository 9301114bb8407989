"""`glnet-geo train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from glnet_geo.cli.options import (
    device_option,
    output_option,
    overwrite_option,
    resume_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH, IntegerList

if TYPE_CHECKING:
    from glnet_geo.training import Progress

_ITERATIONS = (150, 300, 50)


@click.command()
@click.argument("dataset", type=PATH)
@output_option("Model file (safetensors)")
@click.option("--data", type=PATH, help="Folder that the dataset's paths start from.")
@click.option(
    "--iterations",
    type=IntegerList(3),
    default=_ITERATIONS,
    show_default=",".join(map(str, _ITERATIONS)),
    help="Steps of the three stages.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--licence", default="not stated", show_default=True, help="Licence of the weights.")
@device_option
@overwrite_option
@resume_option
@verbosity_options
def train(
    dataset: Path,
    output: Path,
    data: Path | None,
    iterations: tuple[int, int, int],
    seed: int,
    licence: str,
    device: str,
    overwrite: bool,
    resume: bool,
    quiet: bool,
) -> None:
    """Train a model on the labelled scenes of DATASET, a TOML file.

    The three stages run in turn: the global branch, the local one beside it, the global one again
    with the local maps. The model is scored on the scenes with split = "val". An interrupted run
    keeps its state beside the output; --resume continues it.
    """
    from glnet_geo.fitting import fit

    with progress("Training", "iterations", quiet) as show:
        card = fit(
            dataset,
            output,
            iterations=iterations,
            seed=seed,
            data=data,
            licence=licence,
            device=device,
            overwrite=overwrite,
            resume=resume,
            report=lambda at: show(_steps_done(at, iterations), sum(iterations), _note(at)),
        )
    if not quiet:
        click.echo(f"{output}   {card.name} {card.version}, {len(card.legend)} classes", err=True)
        if card.scores:
            figures = (f"{name} {card.scores[name]}" for name in ("mean_iou", "accuracy"))
            click.echo(f"  on {card.scores['held_out']}: {', '.join(figures)}", err=True)


def _steps_done(at: Progress, iterations: tuple[int, int, int]) -> int:
    from glnet_geo.models.stages import STAGES

    return sum(iterations[: STAGES.index(at.stage)]) + at.iteration


def _note(at: Progress) -> str:
    return f" {at.stage.replace('_', ' ')}, loss {at.loss:.3f}"

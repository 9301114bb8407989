"""`glnet-geo models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glnet_geo.cli.options import json_option, output_option, overwrite_option
from glnet_geo.cli.values import PATH

if TYPE_CHECKING:
    from glnet_geo.checkpoint import ModelCard


@click.group()
def models() -> None:
    """List, show or import models."""


@models.command("list")
def list_models() -> None:
    """List the bundled models.

    Example: glnet-geo models list
    """
    from glnet_geo.checkpoint import read_card
    from glnet_geo.modelzoo import DEFAULT_MODEL, bundled_models

    for path in bundled_models():
        card = read_card(path)
        mark = "  (default)" if card.name == DEFAULT_MODEL else ""
        classes = ", ".join(land_cover.name for land_cover in card.legend.classes)
        click.echo(f"{card.name} {card.version}{mark}\n  {classes}")


@models.command()
@click.argument("model", metavar="NAME|FILE")
@json_option
def show(model: str, as_json: bool) -> None:
    """Show the card of a model.

    Example: glnet-geo models show dubai-urban
    """
    from glnet_geo.checkpoint import read_card
    from glnet_geo.modelzoo import find_model

    card = read_card(find_model(model))
    if as_json:
        click.echo(json.dumps(card.to_dict(), ensure_ascii=False))
    else:
        click.echo(describe(card))


@models.command("import")
@click.option("--global", "global_file", type=PATH, required=True, help="Checkpoint of stage 1.")
@click.option("--global-to-local", type=PATH, help="Checkpoint of stage 2.")
@click.option("--local-to-global", type=PATH, help="Checkpoint of stage 3.")
@click.option(
    "--legend", required=True, help="A built-in legend, such as deepglobe or inria, or a JSON file."
)
@click.option("--global-size", type=click.IntRange(min=64), default=508, show_default=True)
@click.option("--patch-size", type=click.IntRange(min=64), default=508, show_default=True)
@click.option("--frame", type=click.IntRange(min=64), default=2448, show_default=True)
@click.option(
    "--gsd",
    type=click.FloatRange(min=0, min_open=True),
    help="Metres a pixel of the training scenes.",
)
@output_option("Model file (safetensors)")
@overwrite_option
def import_model(
    global_file: Path,
    global_to_local: Path | None,
    local_to_global: Path | None,
    legend: str,
    global_size: int,
    patch_size: int,
    frame: int,
    gsd: float | None,
    output: Path,
    overwrite: bool,
) -> None:
    """Make a model file of the reference implementation's checkpoints.

    Example: glnet-geo models import --global global.pth --legend deepglobe -o deepglobe.safetensors

    With the checkpoint of stage 1 alone, or of stages 1 and 2, the model predicts in that form.
    """
    from glnet_geo.checkpoint import save_model
    from glnet_geo.importing import import_checkpoints
    from glnet_geo.legend import find_legend
    from glnet_geo.outputs import check_output

    given = tuple(path for path in (global_file, global_to_local, local_to_global) if path)
    check_output(output, overwrite, (*given, Path(legend)))
    net, card = import_checkpoints(
        global_file,
        global_to_local,
        local_to_global,
        name=output.name.removesuffix(".safetensors"),
        legend=find_legend(legend),
        global_size=global_size,
        patch_size=patch_size,
        frame=frame,
        gsd=gsd,
    )
    save_model(net, card, output)
    click.echo(f"{output}   {card.architecture.form}, {len(card.legend)} classes", err=True)


def describe(card: ModelCard) -> str:
    """A card as a person reads it."""
    architecture = card.architecture
    rows = {
        "networks": f"{architecture.backbone}, decoder {architecture.widths.lateral}/"
        f"{architecture.widths.smooth}, {architecture.form}",
        "bands": ", ".join(card.bands),
        "frame": f"{card.frame} px, global view {card.global_size}, patches {card.patch_size}, "
        f"frames overlap {card.overlap}",
        "views": f"{card.views} of every frame, mirrored" if card.views > 1 else "1",
        "confidence": "not measured"
        if card.temperature is None
        else f"softmax of scores / {card.temperature:g}",
        "pixels": _brightness(card),
        "GSD": "works in pixels" if card.gsd is None else f"{card.gsd:g} m",
        "classes": ", ".join(f"{c.id} {c.name} {c.color}" for c in card.legend.classes),
        "ignored": ", ".join(map(str, sorted(card.legend.ignore))) or "none",
        "provenance": card.provenance,
        "licence": card.licence,
        "scores": json.dumps(card.scores),
    }
    lines = [f"{card.name} {card.version}"]
    return "\n".join(lines + [f"  {label:<11}{text}" for label, text in rows.items()])


def _brightness(card: ModelCard) -> str:
    """What the training scenes look like, in a line."""
    if not card.histogram:
        return "not known"
    means = (
        sum(share * (k + 0.5) for k, share in enumerate(shares)) * 256 / len(shares)
        for shares in card.histogram
    )
    return f"in training {', '.join(f'{mean:.0f}' for mean in means)} of 255 on average"

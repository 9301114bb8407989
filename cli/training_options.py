"""The options of `glnet-geo train` that say what is trained and how."""

from __future__ import annotations

from typing import Any

import click

from glnet_geo.cli.options import Command, all_of
from glnet_geo.cli.values import ClassWeights, IntegerList, Metres, Number, NumberList

_SCHEDULE = (
    "learning_rates",
    "backbone_rate",
    "frames",
    "accumulate",
    "optimizer",
    "weight_decay",
    "focal_gamma",
    "lovasz",
    "cross_fit",
    "recompute",
    "class_weights",
    "rare",
    "patience",
    "seed",
)
_AUGMENTATION = {
    "scale_jitter": "scale",
    "brightness_jitter": "brightness",
    "gamma_jitter": "contrast",
    "color_jitter": "color",
}
_NETWORK = ("preset", "form", "backbone", "widths", "frame", "patch_size", "global_size", "gsd")


def learning_options(command: Command) -> Command:
    """How the stages learn; see `training_options_of`."""
    options = (
        click.option(
            "--learning-rates",
            type=NumberList(3),
            help="That the three stages start from. Default: 1e-3,1e-3,1e-4, with --init "
            "1e-4,1e-4,3e-5, in the reference preset 5e-5,2e-5,5e-5.",
        ),
        click.option(
            "--backbone-rate",
            type=Number(least=0),
            help="Factor of the learning rates for the backbone. Default: 0.2, with --init and in "
            "the reference preset 1.",
        ),
        click.option(
            "--batch-size",
            "frames",
            type=IntegerList(3),
            help="Frames of a batch in the three stages. Default: 4,3,1, in the reference preset "
            "6,6,6.",
        ),
        click.option(
            "--accumulate",
            type=click.IntRange(min=1),
            help="Batches whose gradients make a step: larger steps in the same memory. Default: "
            "1.",
        ),
        click.option(
            "--optimizer", type=click.Choice(["adam", "adamw"]), help="Default: adam, the paper's."
        ),
        click.option(
            "--weight-decay",
            type=Number(least=0),
            help="Default: 1e-4, in the reference preset 5e-4.",
        ),
        click.option(
            "--focal-gamma",
            type=Number(least=0),
            help="Exponent of the focal loss; 0 is cross entropy. Default: 0, with --init and in "
            "the reference preset 3.",
        ),
        click.option(
            "--lovasz",
            type=Number(least=0),
            help="Weight of the Lovasz-softmax loss, which is for mean IoU, beside the focal loss. "
            "Default: 1, with --init and in the reference preset 0.",
        ),
        click.option(
            "--cross-fit/--no-cross-fit",
            default=None,
            help="Stages 2 and 3 see each scene through a global branch that has not learned from "
            "it, or else rely on what it knows by heart. Stage 1 takes twice as long. Default: "
            "cross-fit, but not after --init.",
        ),
        click.option(
            "--recompute/--no-recompute",
            default=None,
            help="Whether maps of the backbone are made a second time on the way back instead of "
            "being kept: a third less memory, a fifth more time. Default: yes.",
        ),
        click.option(
            "--class-weights",
            type=ClassWeights(),
            help="How much classes count in the loss: none (default), balanced (the rarer, the "
            "more), or numbers such as building=2,road=4.",
        ),
        click.option(
            "--rare",
            type=Number(least=0),
            help="Share of the frames, 0-1, that are drawn for a class that they hold, all classes "
            "alike. Default: 0.",
        ),
        click.option(
            "--scale-jitter",
            type=Number(least=1),
            help="Largest factor by which a frame's extent varies. Default: 2.5, with --init 1.4, "
            "in the reference preset 1.",
        ),
        click.option(
            "--brightness-jitter",
            type=Number(least=0),
            help="Largest relative change of all values of a frame. Default: 0.35, with "
            "--init 0.15, in the reference preset 0.",
        ),
        click.option(
            "--gamma-jitter",
            type=Number(least=1),
            help="Largest exponent, or its inverse, on all values of a frame. Default: 1.5, with "
            "--init 1.25, in the reference preset 1.",
        ),
        click.option(
            "--color-jitter",
            type=Number(least=0),
            help="Largest relative change of a band's values, bands apart from each other. "
            "Default: 0.2, with --init 0.05, in the reference preset 0.",
        ),
        click.option(
            "--patience",
            type=click.IntRange(min=1),
            help="End a stage, with its best weights, after so many validations in a row (there "
            "are five a stage) without a better mean IoU. Default: never.",
        ),
        click.option("--seed", type=click.IntRange(min=0), help="Default: 0."),
    )
    return all_of(options, command)


def network_options(command: Command) -> Command:
    """What may stand in the dataset file's `[model]` table; see `training_options_of`."""
    options = (
        click.option(
            "--preset",
            type=click.Choice(["reference"]),
            help="The paper's networks and schedule.",
        ),
        click.option(
            "--form",
            type=click.Choice(["global", "global_to_local", "both_ways"]),
            help="How much of GLNet, and so which of the three stages are run. Default: both_ways.",
        ),
        click.option(
            "--backbone",
            type=click.Choice(["efficientnet_lite0", "resnet50"]),
            help="Default: efficientnet_lite0.",
        ),
        click.option(
            "--widths",
            type=IntegerList(2),
            help="Channels of the decoder: lateral and smooth. Default: 64,16.",
        ),
        click.option("--frame", type=click.IntRange(min=1), help="Side in pixels. Default: 1820."),
        click.option(
            "--patch-size", type=click.IntRange(min=1), help="Side in pixels. Default: 640."
        ),
        click.option(
            "--global-size",
            type=click.IntRange(min=1),
            help="Side in pixels of the small view of a frame. Default: 640.",
        ),
        click.option(
            "--gsd",
            type=Metres(),
            help="Size of the pixels that the networks see. Default: the scenes' own.",
        ),
    )
    return all_of(options, command)


def training_options_of(options: dict[str, Any]) -> Any:
    """Takes what says what is trained and how out of a command's options, as `TrainingOptions`."""
    from glnet_geo.precision import Precision
    from glnet_geo.schedule import Balance, Optimizer
    from glnet_geo.training_options import TrainingOptions

    schedule = _given(options, {name: name for name in _SCHEDULE})
    if "optimizer" in schedule:
        schedule["optimizer"] = Optimizer(schedule["optimizer"])
    if isinstance(schedule.get("class_weights"), str):
        schedule["class_weights"] = Balance(schedule["class_weights"])
    precision = Precision(options.pop("precision"))
    if precision is not Precision.AUTO:
        schedule["precision"] = precision
    return TrainingOptions(
        options.pop("iterations"),
        options.pop("time_budget"),
        options.pop("init"),
        model=_given(options, {name: name for name in _NETWORK}),
        schedule=schedule,
        augmentation=_given(options, _AUGMENTATION),
        licence=options.pop("licence"),
    )


def _given(options: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Takes options that are given out, under other names."""
    taken = {to: options.pop(name) for name, to in names.items()}
    return {name: value for name, value in taken.items() if value is not None}

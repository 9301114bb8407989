"""What may be chosen about a model: the `[model]` table, and options of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from glnet_geo.errors import DatasetError

FORMS = ("global", "global_to_local", "both_ways")  # `models.glnet.Form`, which wants torch
_LEAST_SIDE = 64  # pixels; two cells of the coarsest map


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What may be chosen about the networks.

    Attributes:
        backbone: Name of the backbone.
        widths: Channels of the decoder: lateral and smooth.
        activated: Batch norm and ReLU in the decoder.
        frame: Side of a training frame in pixels.
        patch_size: Side of a patch in pixels.
        global_size: Side of the global view in pixels.
        gsd: Ground sample distance in metres, or None to work in pixels.
        form: How much of GLNet: "global", "global_to_local" or "both_ways".
        views: In how many ways predictions look at a frame, unless asked otherwise: 1, 2 or 4.
        preset: "reference" for the paper's networks and schedule, or None.

    Raises:
        DatasetError: A value is of the wrong type or makes no sense.
    """

    backbone: str = "efficientnet_lite0"
    widths: tuple[int, int] = (64, 16)
    activated: bool = True
    frame: int = 1820
    patch_size: int = 640
    global_size: int = 640
    gsd: float | None = None
    form: str = FORMS[-1]
    views: int = 1
    preset: str | None = None

    def __post_init__(self) -> None:
        if len(self.widths) != 2 or not all(type(one) is int and one > 0 for one in self.widths):
            raise DatasetError("widths in [model] are two whole numbers: lateral and smooth.")
        for name in ("frame", "patch_size", "global_size"):
            value = getattr(self, name)
            if type(value) is not int or value < _LEAST_SIDE:
                raise DatasetError(
                    f"{name} in [model] is not a whole number of at least {_LEAST_SIDE}."
                )
        for name in ("patch_size", "global_size"):
            if getattr(self, name) % 4:
                # Logits have a quarter of the resolution; labels could not be laid on them exactly.
                raise DatasetError(f"{name} in [model] is not a multiple of 4.")
        if self.patch_size > self.frame:
            raise DatasetError("patch_size in [model] exceeds frame.")
        if self.form not in FORMS:
            raise DatasetError(f"form in [model] is not one of {', '.join(FORMS)}.")
        if self.views not in (1, 2, 4):
            raise DatasetError("views in [model] is not 1, 2 or 4.")
        if self.gsd is not None and not (type(self.gsd) in (int, float) and self.gsd > 0):
            raise DatasetError("gsd in [model] is not a positive number of metres.")
        if not isinstance(self.activated, bool) or not isinstance(self.backbone, str):
            raise DatasetError("activated or backbone in [model] is of the wrong type.")


PAPER_OPTIONS = ModelOptions("resnet50", (256, 128), False, 2448, 508, 508, preset="reference")
"""What `preset = "reference"` stands for: the paper's."""


def check_names(given: Mapping[str, Any]) -> None:
    """Refuses what is no option.

    Raises:
        DatasetError: A key is unknown, or there is no such preset.
    """
    unknown = sorted(set(given) - {one.name for one in fields(ModelOptions)})
    if unknown:
        raise DatasetError(f"[model] has the unknown key {unknown[0]!r}.")
    if given.get("preset") not in (None, "reference"):
        raise DatasetError(f'[model] has preset {given["preset"]!r}; the only one is "reference".')


def resolve_options(given: Mapping[str, Any], start: ModelOptions | None = None) -> ModelOptions:
    """Options out of those that are given.

    Args:
        given: Values by name, as a TOML file or the command line has them.
        start: Of the model that training starts from: what is not given is as there, and the
            networks are its. None for a new model.

    Raises:
        DatasetError: A value makes no sense, or asks for other networks than those of the start.
    """
    check_names(given)
    values = dict(given)
    if "widths" in values:
        widths = values["widths"]
        values["widths"] = tuple(widths) if isinstance(widths, list | tuple) else ()
    if start is None:
        base = PAPER_OPTIONS if given.get("preset") else ModelOptions()
        return replace(base, **values)
    for name in ("backbone", "widths", "activated"):
        if name in values and values[name] != getattr(start, name):
            raise DatasetError(
                f"{name} {values[name]!r} differs from that of the model to start from, "
                f"{getattr(start, name)!r}. Leave one of them out: {name}, or --init."
            )
    return replace(start, **values)

"""How long, how fast and on what a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from glnet_geo.errors import TrainingError
from glnet_geo.models.losses import FEATURE_WEIGHT
from glnet_geo.precision import Precision
from glnet_geo.sampling import Augmentation

Three = tuple[int, int, int]
"""One number for each of the three stages."""

DEFAULT_ITERATIONS = (80, 360, 40)
"""Steps of the three stages: about twenty minutes on two cores with the default networks."""


class Optimizer(StrEnum):
    """What turns gradients into steps."""

    ADAM = "adam"
    ADAMW = "adamw"


class Balance(StrEnum):
    """How classes weigh in the loss."""

    NONE = "none"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How each stage learns.

    Attributes:
        learning_rates: Rates that the three stages start from.
        head_rate: Factor for the layers whose outputs are the classes.
        backbone_rate: Factor for the backbone.
        frames: Frames of a batch in the three stages; batch norm sees these.
        accumulate: Batches whose gradients make a step.
        patches: Patches that run at a time in stages 2 and 3; in stage 2 batch norm sees these.
        drawn: Patches drawn from a batch's frames in stage 2, where there are labels; None takes
            all, as the paper does.
        power: Exponent of the polynomial decay to 0, per step.
        optimizer: What makes steps of gradients.
        weight_decay: L2 penalty inside Adam, decoupled in AdamW.
        recompute: Whether maps of the backbone are made a second time on the way back instead of
            being kept: a third less memory, a fifth more time.
        cross_fit: Whether the later stages see each scene through a global branch that has not
            learned from it (`GLNet.add_twins`), where there are two scenes or more.
        context_dropout: Share of the frames whose global maps the local branch does not get to see
            in stage 2, where the branch that makes them has learned from the frames.
        feature_weight: Weight of the distance of both branches' last maps in stage 2 (the paper's
            lambda).
        focal_gamma: Focusing exponent of the focal loss; 0 for cross entropy.
        lovasz: Weight of the Lovasz-softmax loss, which is for mean IoU, beside the focal loss.
        class_weights: "balanced" for the median frequency over a class's frequency (Eigen and
            Fergus, ICCV 2015), "none", or weights by class name; 1 for names that are left out.
        rare: Share of the frames that are drawn for a class that they hold, all classes alike.
        precision: What the networks compute in.
        validations: How often a stage is scored on held-out frames, at equal distances and at its
            end.
        patience: Validations in a row without a better mean IoU after which a stage ends, with its
            best weights; None to train to the end and keep the last ones.
        seed: Seed of sampling and of fresh weights.
        augmentation: How samples vary.

    Raises:
        TrainingError: A value makes no sense.
    """

    learning_rates: tuple[float, float, float] = (1e-3, 1e-3, 1e-4)
    head_rate: float = 1.0
    backbone_rate: float = 0.2
    frames: Three = (4, 3, 1)
    accumulate: int = 1
    patches: int = 3
    drawn: int | None = 3
    power: float = 0.9
    optimizer: Optimizer = Optimizer.ADAM
    weight_decay: float = 1e-4
    recompute: bool = True
    cross_fit: bool = True
    context_dropout: float = 0.5
    feature_weight: float = 0.0
    focal_gamma: float = 0.0
    lovasz: float = 1.0
    class_weights: Balance | Mapping[str, float] = Balance.NONE
    rare: float = 0.0
    precision: Precision = Precision.AUTO
    validations: int = 5
    patience: int | None = None
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not all(0 < rate < 1 for rate in self.learning_rates):
            raise TrainingError(f"Learning rates are between 0 and 1, got {self.learning_rates}.")
        if not 0 < self.head_rate <= 100:
            raise TrainingError(f"The factor for last layers is 0-100, got {self.head_rate}.")
        if not 0 <= self.weight_decay < 1:
            raise TrainingError(f"Weight decay is from 0 to below 1, got {self.weight_decay}.")
        if min(self.focal_gamma, self.lovasz, self.feature_weight) < 0:
            raise TrainingError("The focal exponent and the weights of losses are from 0.")
        if not 0 <= self.context_dropout < 1:
            raise TrainingError(
                f"The share of frames without context is 0 to below 1, got {self.context_dropout}."
            )
        if not 0 <= self.rare <= 1:
            raise TrainingError(f"The share of frames for rare classes is 0-1, got {self.rare}.")
        if min(*self.frames, self.accumulate, self.patches, self.validations) < 1:
            raise TrainingError("Frames, patches, accumulation and validations are at least 1.")
        if isinstance(self.class_weights, Mapping) and min(self.class_weights.values()) <= 0:
            raise TrainingError("Class weights are above 0.")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form, to compare runs by."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        weights = values["class_weights"]
        values["class_weights"] = dict(weights) if isinstance(weights, Mapping) else str(weights)
        varied = self.augmentation
        values["augmentation"] = {one.name: getattr(varied, one.name) for one in fields(varied)}
        return values


PAPER = Schedule(
    learning_rates=(5e-5, 2e-5, 5e-5),
    backbone_rate=1.0,
    frames=(6, 6, 6),
    patches=6,
    drawn=None,
    weight_decay=5e-4,
    cross_fit=False,
    context_dropout=0.0,
    feature_weight=FEATURE_WEIGHT,
    focal_gamma=3.0,
    lovasz=0.0,
    precision=Precision.FP32,
    augmentation=Augmentation(scale=1, brightness=0, contrast=1, color=0),
)
"""The paper's rates, batches and augmentation (section 4.1)."""

FINE_TUNING = Schedule(
    learning_rates=(1e-4, 1e-4, 3e-5),
    head_rate=30.0,
    backbone_rate=1.0,
    frames=(4, 2, 1),
    cross_fit=False,
    context_dropout=0.0,
    feature_weight=FEATURE_WEIGHT,
    focal_gamma=3.0,
    lovasz=0.0,
    augmentation=Augmentation(scale=1.4, brightness=0.15, contrast=1.25, color=0.05),
)
"""For a model that has been trained on something similar: it need not learn to see, but new classes
start from nothing, and there is little time for them."""

"""What whoever trains a model may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from glnet_geo.errors import TrainingError
from glnet_geo.model_options import ModelOptions
from glnet_geo.sampling import Augmentation
from glnet_geo.schedule import DEFAULT_ITERATIONS, FINE_TUNING, PAPER, Schedule, Three


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What a training run is asked for, beside the dataset.

    Attributes:
        iterations: Steps of the three stages (those that the form lacks do not matter); None for
            the default, or for what `time_budget_s` allows.
        time_budget_s: Seconds that all may take, scores included; None for no limit.
        init: A bundled model's name or a model file to start from; None for a new model.
        model: Fields of `ModelOptions` by name, which win over those of the dataset file.
        schedule: Fields of `Schedule` by name, which win over those of the preset.
        augmentation: Fields of `Augmentation` by name, likewise.
        licence: Licence of the weights, for the card.

    Raises:
        TrainingError: Iterations and a time are given, or a name is unknown.
    """

    iterations: Three | None = None
    time_budget_s: float | None = None
    init: str | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "not stated"

    def __post_init__(self) -> None:
        if self.iterations is not None and self.time_budget_s is not None:
            raise TrainingError("Give either iterations or a time budget: each sets the other.")
        if self.iterations is not None and min(self.iterations) < 0:
            raise TrainingError(f"There are no fewer steps than none, got {self.iterations}.")
        for given, kind in ((self.schedule, Schedule), (self.augmentation, Augmentation)):
            unknown = sorted(set(given) - {one.name for one in fields(kind)})
            if unknown:
                raise TrainingError(f"There is no training option {unknown[0]!r}.")

    @property
    def fixed_iterations(self) -> Three | None:
        """Steps of the three stages; None where a time decides."""
        if self.time_budget_s is not None:
            return None
        return self.iterations or DEFAULT_ITERATIONS

    def schedule_for(self, options: ModelOptions) -> Schedule:
        """How the stages learn.

        Args:
            options: The model's.
        """
        base = FINE_TUNING if self.init else Schedule()
        if options.preset == "reference":
            base = PAPER
        augmentation = replace(base.augmentation, **self.augmentation)
        return replace(base, augmentation=augmentation, **self.schedule)

    def identity(self) -> dict[str, Any]:
        """What a kept state must have in common with a run that resumes it."""
        return {"iterations": self.fixed_iterations, "time_budget_s": self.time_budget_s}

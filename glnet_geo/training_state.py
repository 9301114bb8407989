"""The file from which an interrupted training run continues."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from glnet_geo.errors import GlnetGeoError, TrainingError
from glnet_geo.models.stages import STAGES
from glnet_geo.outputs import publish
from glnet_geo.schedule import Three
from glnet_geo.training_log import LogRow


@dataclass(slots=True)
class Standing:
    """How far a run is: plain values only.

    Attributes:
        plan: Steps of the three stages.
        stage: Position of the stage in work.
        iteration: Steps done in it.
        seconds: What each stage took so far.
        losses: Of the steps since the last row.
        rows: Of the log.
        best: Best mean IoU of the stage so far.
        stale: Validations since then.
    """

    plan: Three
    stage: int = 0
    iteration: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0] * len(STAGES))
    losses: list[float] = field(default_factory=list)
    rows: list[LogRow] = field(default_factory=list)
    best: float | None = None
    stale: int = 0

    @property
    def done(self) -> int:
        """Steps done in all, as planned."""
        return sum(self.plan[: self.stage]) + self.iteration

    def end_stage(self) -> None:
        """Goes on to the next stage."""
        self.stage, self.iteration = self.stage + 1, 0
        self.losses, self.best, self.stale = [], None, 0

    def to_json(self) -> str:
        """Everything, as text."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**values, "rows": [astuple(row) for row in self.rows]})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        values = json.loads(text)
        rows = [LogRow(*row) for row in values["rows"]]
        return cls(**{**values, "plan": tuple(values["plan"]), "rows": rows})


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """What a run needs to continue. Samples need nothing: they are drawn by iteration.

    Attributes:
        standing: How far it is.
        net: Weights and statistics of the networks.
        optimizer: State of the optimiser; None between stages.
        scaler: State of the gradient scaler; None between stages.
        best: Best weights of the stage so far, where a stage may end early.
    """

    standing: Standing
    net: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    scaler: dict[str, Any] | None
    best: dict[str, Tensor]

    def save(self, path: Path, identity: str) -> None:
        """Writes the file, whole or not at all.

        Args:
            path: The file; an existing one is replaced.
            identity: What must be equal for the state to be resumed.

        Raises:
            TrainingError: The disk is full, or the file cannot be replaced.
        """
        temporary = path.with_suffix(".new")
        state = {
            "identity": identity,
            "standing": self.standing.to_json(),
            "net": self.net,
            "optimizer": self.optimizer,
            "scaler": self.scaler,
            "best": self.best,
        }
        try:
            torch.save(state, temporary)
            publish(temporary, path)
        except (OSError, RuntimeError, GlnetGeoError) as error:  # torch says either on a full disk
            temporary.unlink(missing_ok=True)
            reason = str(error).splitlines()[0][:100]
            raise TrainingError(
                f"{path} cannot be written ({reason}). Make room, then use --resume."
            ) from error

    @classmethod
    def load(cls, path: Path, identity: str) -> Self:
        """Reads the file.

        Raises:
            TrainingError: It is damaged or belongs to another run.
        """
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            found = state.pop("identity")
            loaded = cls(**{**state, "standing": Standing.from_json(state["standing"])})
        except Exception as error:  # a damaged file raises anything
            raise TrainingError(
                f"{path} cannot be resumed ({type(error).__name__}). Start afresh without --resume."
            ) from None
        if found != identity:
            raise TrainingError(
                f"{path} belongs to a run with other data or parameters. Start afresh without "
                "--resume."
            )
        return loaded

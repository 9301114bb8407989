"""Memory of a run: predicted from a trial, and kept to what is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from glnet_geo.buffers import LADDER, Buffers
from glnet_geo.errors import GlnetGeoError
from glnet_geo.map_options import MapOptions
from glnet_geo.rehearsal import Rehearsal, rehearse
from glnet_geo.remote import ScenePath
from glnet_geo.trial import Trial

_SHORT_S = 3.0  # of frames that are tried where memory alone matters
_MARGIN = 1.08  # what a run may take above its prediction
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Fit:
    """Buffers that keep a run to a limit, and the trial that showed it."""

    buffers: Buffers
    rehearsal: Rehearsal


def predict_peak(trial: Trial, buffers: Buffers) -> int | None:
    """The most memory that a run's process will hold, in bytes; None where nobody knows.

    A frame needs what any other needs. What still grows is GDAL's cache, up to its size.
    """
    if trial.peaks.frames is None or trial.peaks.end is None:
        return None
    cache = buffers.cache_mb << 20
    rest = min(trial.cacheable, cache) - min(trial.cached, cache)
    return max(trial.peaks.frames + rest, trial.peaks.end)


def fit_buffers(scene: ScenePath, options: MapOptions, max_memory: int) -> Buffers:
    """The fastest buffers with which a run keeps to a limit.

    Args:
        scene: The scene.
        options: How it is mapped.
        max_memory: Bytes that the process may hold at most.

    Raises:
        GlnetGeoError: It needs more; the message says how much would do.
    """
    return fit(scene, options, max_memory, _SHORT_S).buffers


def fit(scene: ScenePath, options: MapOptions, max_memory: int, seconds: float) -> Fit:
    """As `fit_buffers`, with the trial of so many seconds."""
    least: int | None = None
    for buffers in LADDER:
        rehearsal = rehearse(scene, options, buffers, seconds)
        peak = predict_peak(rehearsal.trial, buffers)
        if peak is None:
            raise GlnetGeoError(
                "This operating system does not say how much memory a process holds. Leave "
                "--max-memory out."
            )
        needed = round(peak * _MARGIN)
        if needed <= max_memory:
            return Fit(buffers, rehearsal)
        least = needed if least is None else min(least, needed)
    assert least is not None
    enough = -(-least // (10 * _MB)) * 10
    raise GlnetGeoError(
        f"{max_memory // _MB} MB are too little memory for {scene} with this model and frame: take "
        f"--max-memory {enough}MB or more, smaller frames (--frame), or a lighter model."
    )

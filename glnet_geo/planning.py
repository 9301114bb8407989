"""What a run of `predict` would do, need and warn of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glnet_geo.buffers import Buffers
from glnet_geo.map_options import MapOptions
from glnet_geo.memory_fit import Fit, fit, predict_peak
from glnet_geo.rehearsal import Rehearsal, rehearse
from glnet_geo.remote import ScenePath, scene_path
from glnet_geo.trial import Trial

_TRIED_S = 8.0  # of frames


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """Seconds that the parts of a run take.

    Attributes:
        start: The program's start, the model and the scene's statistics.
        frames: Reading, the networks, blending, and writing rows.
        finish: Overviews and the final file.
    """

    start: float
    frames: float
    finish: float

    @property
    def total(self) -> float:
        """The whole run."""
        return self.start + self.frames + self.finish


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """What a run would do.

    Attributes:
        scene: The scene.
        trial: What was measured on some of its frames.
        buffers: What the run may hold in memory.
        seconds: What it will take.
        peak_bytes: The most memory that its process will hold; None where nobody knows.
    """

    scene: str
    trial: Trial
    buffers: Buffers
    seconds: TimeEstimate
    peak_bytes: int | None

    @property
    def frames(self) -> int:
        """Frames of the scene."""
        return len(self.trial.plan)

    @property
    def frames_with_data(self) -> int:
        """About how many of them the network sees."""
        return round(self.frames * self.trial.wanted.share)

    @property
    def patches(self) -> int:
        """Patches of all frames, each counted once however often it is looked at."""
        return self.frames * self.trial.patches

    @property
    def redundancy(self) -> float:
        """Pixels that patches compute, by those of the scene as the network sees it."""
        height, width = self.trial.view
        return self.patches * self.trial.patch_size**2 / (height * width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        trial, seconds = self.trial, self.seconds
        height, width = trial.view
        return {
            "scene": self.scene,
            "width": trial.grid.width,
            "height": trial.grid.height,
            "crs": trial.grid.crs_label,
            "gsd_m": trial.grid.gsd_m,
            "model": trial.model,
            "device": trial.device,
            "network_width": width,
            "network_height": height,
            "frame_width": trial.plan.columns.size,
            "frame_height": trial.plan.rows.size,
            "frames": self.frames,
            "frames_with_data": self.frames_with_data,
            "patches": self.patches,
            "views": trial.views,
            "redundancy": round(self.redundancy, 3),
            "peak_bytes": self.peak_bytes,
            "bytes_to_read": trial.to_read.stored,
            "bytes_to_read_are": str(trial.to_read.measure),
            "seconds": round(seconds.total, 1),
            "seconds_start": round(seconds.start, 1),
            "seconds_frames": round(seconds.frames, 1),
            "seconds_finish": round(seconds.finish, 1),
            "frames_tried": len(trial.frames),
            "gdal_cache_mb": self.buffers.cache_mb,
            "keeps_freed_memory": self.buffers.keeps_freed,
            "warnings": list(trial.warnings),
        }


def plan_scene(
    scene: ScenePath,
    options: MapOptions | None = None,
    *,
    max_memory: int | None = None,
    seconds: float = _TRIED_S,
) -> ScenePlan:
    """Plans the run that `predict` would start, from a short trial of it in a new process.

    Args:
        scene: Any raster file that GDAL opens, or a URL of one.
        options: How it is mapped.
        max_memory: Bytes that the run may hold at most, see `memory_fit`; None for no limit.
        seconds: How long frames are tried; two of them at least.

    Raises:
        GlnetGeoError: Something stands in the way of the run, or it needs more memory.
    """
    scene, options = scene_path(str(scene)), options or MapOptions()
    if max_memory is None:
        found = Fit(Buffers(), rehearse(scene, options, Buffers(), seconds))
    else:
        found = fit(scene, options, max_memory, seconds)
    trial = found.rehearsal.trial
    peak = predict_peak(trial, found.buffers)
    return ScenePlan(str(scene), trial, found.buffers, estimate_time(found.rehearsal), peak)


def estimate_time(rehearsal: Rehearsal) -> TimeEstimate:
    """What a run takes of which some frames were tried."""
    trial = rehearsal.trial
    start = rehearsal.start_seconds + trial.setup_seconds
    return TimeEstimate(start, _frame_seconds(trial), trial.publish_seconds)


def _frame_seconds(trial: Trial) -> float:
    tried = sum(frame.seconds for frame in trial.frames)
    if len(trial.frames) >= len(trial.plan):
        return tried
    scored = [frame.seconds for frame in trial.frames if frame.has_scores]
    count = len(trial.plan)
    with_data = round(count * trial.wanted.share)
    if not scored:
        return count * trial.empty_seconds
    # The first frame is slower: memory is fetched, and kernels are chosen.
    each = float(np.mean(scored[1:] or scored))
    waits = max(trial.row_seconds - each, trial.row_seconds / 2)
    rows = len(trial.plan.rows.starts) - 1
    empty = (count - with_data) * trial.empty_seconds
    return scored[0] + max(with_data - 1, 0) * each + empty + rows * waits

"""What a prediction may hold in memory beside its model and its frame."""

from __future__ import annotations

from dataclasses import dataclass

from glnet_geo.allocation import reuse_memory


@dataclass(frozen=True, slots=True)
class Buffers:
    """Sizes that change how fast a map is made, never the map.

    Attributes:
        cache_mb: GDAL's memory for blocks of rasters, in MiB.
        read_pixels: Pixels of the view that are read and stretched at a time.
        keeps_freed: Whether freed memory is kept for the next tensors, see `reuse_memory`.
    """

    cache_mb: int = 64
    read_pixels: int = 1 << 20
    keeps_freed: bool = True

    def apply(self) -> None:
        """Sets what holds for the whole process."""
        if self.keeps_freed:
            reuse_memory()


LADDER = (
    Buffers(),
    Buffers(cache_mb=16, read_pixels=1 << 18),
    Buffers(cache_mb=16, read_pixels=1 << 18, keeps_freed=False),
)
"""From the fastest to the leanest. Patches run one at a time on a CPU as it is.

The last step costs a quarter of the time, see `reuse_memory`.
"""

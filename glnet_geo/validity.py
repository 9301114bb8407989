"""Which pixels hold data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask, Pixels
from glnet_geo.errors import RasterError


@dataclass(frozen=True, slots=True)
class Validity:
    """What makes a pixel valid.

    The value of a band is invalid where the file's mask says so (nodata value, alpha, internal or
    external mask), where it is not finite, and where it is near the nodata value. Pixels that
    are valid keep the values of all their bands, with `any_valid` also invalid ones.

    Attributes:
        any_valid: Whether one valid band makes a pixel valid; else all must be.
        nodata: Nodata value of all bands, in place of what the file says; None leaves it at that.
        tolerance: Distance to the nodata value up to which values are invalid too: lossy
            compression smears it.
    """

    any_valid: bool = False
    nodata: float | None = None
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f"a tolerance is a distance, 0 or more, got {self.tolerance}")

    @property
    def is_the_files(self) -> bool:
        """Whether the file's own masks say all, by the ordinary rule."""
        return not self.any_valid and self.nodata is None and self.tolerance == 0

    def tags(self) -> dict[str, str]:
        """The choice as tags of a map; none where it is left to the file."""
        if self.is_the_files:
            return {}
        return {
            "VALID_WHERE": "any band is" if self.any_valid else "all bands are",
            "SCENE_NODATA": "the file's" if self.nodata is None else repr(self.nodata),
            "SCENE_NODATA_TOLERANCE": repr(self.tolerance),
        }

    def centres(
        self, scene: object, declared: Sequence[float | None], is_masked: bool
    ) -> tuple[float | None, ...] | None:
        """The values, band by band, near which values are invalid; None leaves it to the masks.

        Args:
            scene: The scene, for the message.
            declared: The file's nodata values, band by band.
            is_masked: Whether masks will say where those are.

        Raises:
            RasterError: A tolerance without a nodata value.
        """
        if self.nodata is not None:
            declared = [self.nodata] * len(declared)
        elif self.tolerance == 0 and is_masked:
            return None
        if self.tolerance > 0 and all(value is None or math.isnan(value) for value in declared):
            raise RasterError(
                f"{scene} has no nodata value to be near to. Give one with --nodata, or leave "
                "the tolerance out."
            )
        return tuple(declared)

    def of(
        self,
        pixels: Pixels,
        masks: npt.NDArray[np.bool_],
        centres: tuple[float | None, ...] | None,
    ) -> Mask:
        """The valid ones of some pixels.

        Args:
            pixels: C x H x W.
            masks: C x H x W, True where the file says that a value is valid.
            centres: From `centres`.
        """
        if np.issubdtype(pixels.dtype, np.floating):
            masks = masks & np.isfinite(pixels)
        if centres is not None:
            masks = masks & ~self._near(pixels, centres)
        combine = np.logical_or if self.any_valid else np.logical_and
        valid: Mask = combine.reduce(masks, axis=0)
        return valid

    def _near(self, pixels: Pixels, centres: tuple[float | None, ...]) -> npt.NDArray[np.bool_]:
        precise = np.promote_types(pixels.dtype, np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            # A value typed in decimals, such as -3.4e38, is compared as the file would store it.
            values = np.array([math.nan if value is None else value for value in centres])
            distance = np.abs(pixels.astype(precise) - values.astype(precise)[:, None, None])
        near: npt.NDArray[np.bool_] = distance <= self.tolerance
        return near


THE_FILES = Validity()
"""What the file says, all bands together."""

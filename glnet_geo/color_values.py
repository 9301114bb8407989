"""What the colours of masks stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask

_HALF = 128
_PURE = (0, 255)


class ColorValues:
    """Values by colour.

    Args:
        values: By colour, as #rrggbb.

    Attributes:
        is_rounded: Whether colours are read as 0 below 128 and 255 from there on. So it is where
            all that are known consist of 0 and 255, as DeepGlobe's: it asks for that, since some
            of its masks are not exact.
    """

    def __init__(self, values: Mapping[str, int]) -> None:
        parts = [part for color in values for part in bytes.fromhex(color[1:])]
        self.is_rounded = all(part in _PURE for part in parts)
        self._values = {int(color[1:], 16): value for color, value in values.items()}

    def look_up(
        self, rgb: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int32], Mask, npt.NDArray[np.int32]]:
        """The values of a window of colours, 3 x H x W.

        Returns:
            The values, H x W; which of them are known, H x W: the rest means nothing; and the
            colours as numbers of 24 bits, 0xrrggbb, H x W.
        """
        if self.is_rounded:
            rgb = np.where(rgb >= _HALF, np.uint8(255), np.uint8(0))
        red, green, blue = rgb.astype(np.int32)
        packed: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
        found = np.zeros_like(packed)
        is_known = np.zeros(packed.shape, np.bool_)
        # Masks have few colours: faster than a search in a sorted list below some 20.
        for color, value in self._values.items():
            is_here = packed == color
            found[is_here] = value
            is_known |= is_here
        return found, is_known, packed


def color_text(packed: int) -> str:
    """A colour of 24 bits as #rrggbb."""
    return f"#{packed:06x}"

"""A matrix of classes against classes as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.ticker import PercentFormatter

from glnet_geo.figures import new_figure, save_png, short

MOST_COLUMNS = 24
"""Columns up to which cells hold texts."""

_CELL_IN = 0.75  # inches that a cell with a text takes
_PLAIN_CELL_IN = 0.3
_MOST_SIDE_IN = 40.0
_DARK = 0.55  # part of the scale from which figures are white
_PLAIN = "0.94"  # grey of cells without a shade
_NAME_LENGTH = 24


@dataclass(frozen=True, slots=True, eq=False)
class MatrixPicture:
    """What a picture of a matrix shows.

    Attributes:
        rows: Names of the rows, R.
        columns: Names of the columns, C.
        shades: R x C, from 0 up; NaN for cells without a shade.
        texts: What stands in each cell, R x C.
        row_title: What the rows are.
        column_title: What the columns are.
        shade_title: What the shades are.
        title: What stands above.
        darkest: The shade at the end of the scale.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    shades: npt.NDArray[np.float64]
    texts: Sequence[Sequence[str]]
    row_title: str
    column_title: str
    shade_title: str
    title: str
    darkest: float = 1.0

    def save(self, path: Path) -> None:
        """Writes it as a PNG; of many columns without texts."""
        has_texts = len(self.columns) <= MOST_COLUMNS
        side = _CELL_IN if has_texts else _PLAIN_CELL_IN
        width, height = (
            min(side * len(names), _MOST_SIDE_IN) for names in (self.columns, self.rows)
        )
        figure = new_figure(width + 4, height + 3)
        axes = figure.add_subplot()
        colors = colormaps["Blues"].with_extremes(bad=_PLAIN)
        image = axes.imshow(
            np.ma.masked_invalid(self.shades),
            cmap=colors,
            vmin=0,
            vmax=self.darkest,
            aspect="auto",
        )
        columns = [short(name, _NAME_LENGTH) for name in self.columns]
        rows = [short(name, _NAME_LENGTH) for name in self.rows]
        axes.set_xticks(
            range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xlabel(self.column_title)
        axes.set_ylabel(self.row_title)
        axes.set_title(self.title, fontsize="medium")
        if has_texts:
            for (row, column), shade in np.ndenumerate(self.shades):
                axes.text(
                    column,
                    row,
                    self.texts[row][column],
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if shade > _DARK * self.darkest else "black",
                )
        figure.colorbar(
            image, ax=axes, label=self.shade_title, shrink=0.8, format=PercentFormatter(1)
        )
        save_png(figure, path)


def shares_of_rows(
    table: npt.NDArray[np.floating | np.integer],
) -> npt.NDArray[np.float64]:
    """A matrix as shares of the sums of its rows; 0 in rows without anything."""
    total = table.sum(axis=1, keepdims=True)
    shares: npt.NDArray[np.float64] = np.divide(
        table, total, out=np.zeros(table.shape), where=total > 0
    )
    return shares


def count_text(pixels: int) -> str:
    """Pixels for people."""
    for limit, divisor, unit in ((10**6, 10**6, "Mpx"), (10**4, 10**3, "kpx")):
        if pixels >= limit:
            return f"{pixels / divisor:,.4g} {unit}"
    return f"{pixels:,} px"


def area_text(hectares: float) -> str:
    """Hectares for people."""
    return f"{hectares:,.2f} ha" if hectares >= 0.01 else "< 0.01 ha"

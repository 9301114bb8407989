"""Reading a labelled sample back, wherever it was saved meanwhile."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
from geopandas import GeoDataFrame, GeoSeries
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError

from glnet_geo.errors import FeaturesError
from glnet_geo.grid import Grid
from glnet_geo.opening import reason_of
from glnet_geo.safe_vectors import check_vector_file
from glnet_geo.sample_design import SampleDesign
from glnet_geo.sample_layer import ID, REFERENCE, STRATUM

Integers = npt.NDArray[np.int64]
_LISTED = 5  # points that a message lists
_KINDS = ["Point", "MultiPoint"]


@dataclass(frozen=True, slots=True, eq=False)
class SamplePoints:
    """Points of a sample.

    Attributes:
        path: The file.
        design: What its layer says of the strata; None where that was lost.
        names: What to call each point in messages, N.
        strata: Class id of each one's stratum, N.
        references: What each one was labelled as, N; "" where it was not.
        places: The points, N, with the file's CRS or None.
    """

    path: Path
    design: SampleDesign | None
    names: tuple[str, ...]
    strata: tuple[int, ...]
    references: tuple[str, ...]
    places: GeoSeries

    @classmethod
    def read(cls, path: Path, layer: str | None = None, safe: bool = False) -> SamplePoints:
        """Reads any vector file that GDAL opens.

        Args:
            path: The file.
            layer: The layer; None for the only one with the columns of a sample.
            safe: Whether nothing of the file is trusted, see `safe_vectors`.

        Raises:
            FeaturesError: The file is missing or no vector file, it has no or several such layers,
                a point has no place or no stratum, or two have the same place.
        """
        if not path.exists():
            raise FeaturesError(f"{path} does not exist.")
        if safe:
            check_vector_file(path)
        try:
            with _quiet():
                columns = _columns(path, layer)
                info = pyogrio.read_info(path, layer=columns.layer)
                frame = pyogrio.read_dataframe(
                    path, layer=columns.layer, columns=columns.fields, force_2d=True
                )
        except (DataSourceError, DataLayerError, ProjError) as error:
            reason = reason_of(error).partition("; It might help")[0].rstrip(".")
            raise FeaturesError(f"{path} cannot be read as a vector file: {reason}.") from error
        places = _places(path, frame)
        numbers: Sequence[Any] = frame[columns.id] if columns.id else range(1, len(frame) + 1)
        names = tuple(_text(one) for one in numbers)
        strata = [_whole_number(one) for one in frame[columns.stratum]]
        _refuse(path, names, [one is None for one in strata], "have no stratum. Remove them.")
        doubled = places.get_coordinates().duplicated().tolist()
        _refuse(path, names, doubled, "lie where others do. Keep one of each.")
        return cls(
            path,
            _design(info["layer_metadata"]),
            names,
            tuple(one for one in strata if one is not None),
            tuple(_text(one) for one in frame[columns.reference]),
            places,
        )

    def select(self, chosen: Sequence[bool]) -> SamplePoints:
        """Some of the points.

        Args:
            chosen: Which, N.
        """
        here = [place for place, is_chosen in enumerate(chosen) if is_chosen]
        return SamplePoints(
            self.path,
            self.design,
            tuple(self.names[k] for k in here),
            tuple(self.strata[k] for k in here),
            tuple(self.references[k] for k in here),
            self.places.iloc[here],
        )

    def refuse(self, is_wrong: Sequence[bool], what: str) -> None:
        """Refuses points that cannot be used.

        Args:
            is_wrong: Which, N.
            what: What is the matter with them and what to do.

        Raises:
            FeaturesError: There are any; it names some of them.
        """
        _refuse(self.path, self.names, is_wrong, what)

    def pixels(self, grid: Grid) -> tuple[Integers, Integers]:
        """Rows and columns of the pixels of a grid that the points lie in, N each.

        Raises:
            FeaturesError: Only one of file and grid has a CRS, the one cannot be transformed into
                the other, or a point lies outside the grid.
        """
        crs = grid.crs if grid.is_georeferenced else None
        if (crs is None) != (self.places.crs is None):
            which = "has no CRS, unlike the map" if crs else "has a CRS, unlike the map"
            raise FeaturesError(f"{self.path} {which}. Give both the same: gdal_edit.py -a_srs")
        try:
            moved = self.places if crs is None else self.places.to_crs(crs)
        except ProjError as error:
            raise FeaturesError(
                f"{self.path} cannot be reprojected to {grid.crs_label}: {reason_of(error)}."
            ) from error
        columns, rows = (~grid.transform) @ (moved.x.to_numpy(), moved.y.to_numpy())
        with np.errstate(invalid="ignore"):
            is_inside = (rows >= 0) & (rows < grid.height)
            is_inside &= (columns >= 0) & (columns < grid.width)
        self.refuse(
            (~is_inside).tolist(),
            "lie outside the map. It must cover the whole sample.",
        )
        return np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a file has what a sample consists of.

    Attributes:
        layer: The layer.
        stratum: The field with the stratum, as it is written there.
        reference: The field with the label.
        id: The field with the point's number; None where there is none.
    """

    layer: str
    stratum: str
    reference: str
    id: str | None

    @property
    def fields(self) -> list[str]:
        return [one for one in (self.stratum, self.reference, self.id) if one]


def _columns(path: Path, layer: str | None) -> _Columns:
    """Fields by their names in any case, in which other formats may have them."""
    layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    if layer is not None and layer not in layers:
        raise FeaturesError(f"{path} has no layer {layer!r}. It has {', '.join(layers)}.")
    found = []
    for name in layers if layer is None else [layer]:
        fields = {field.lower(): field for field in pyogrio.read_info(path, layer=name)["fields"]}
        if STRATUM in fields and REFERENCE in fields:
            found.append(_Columns(name, fields[STRATUM], fields[REFERENCE], fields.get(ID)))
    if not found:
        raise FeaturesError(
            f"{path} has no layer with the columns {STRATUM!r} and {REFERENCE!r}. Draw a sample "
            "first: glnet-geo sample"
        )
    if len(found) > 1:
        names = ", ".join(one.layer for one in found)
        raise FeaturesError(f"{path} has several samples: {names}. Keep the labelled one only.")
    return found[0]


def _places(path: Path, frame: Any) -> GeoSeries:
    if not isinstance(frame, GeoDataFrame) or not frame.geom_type.dropna().isin(_KINDS).all():
        raise FeaturesError(f"{path} does not consist of points. Save the sample with them.")
    missing = int((frame.geometry.isna() | frame.geometry.is_empty).sum())
    if missing:
        raise FeaturesError(f"{path} has {missing} points without a place. Remove them.")
    # Some formats have nothing but multipoints.
    return frame.geometry.representative_point()


def _design(metadata: dict[str, str] | None) -> SampleDesign | None:
    try:
        return SampleDesign.from_metadata(metadata or {})
    except (KeyError, TypeError, ValueError):
        return None  # lost or changed on its way through other programs


def _refuse(path: Path, names: Sequence[str], is_wrong: Sequence[bool], what: str) -> None:
    wrong = [name for name, is_one in zip(names, is_wrong, strict=True) if is_one]
    if wrong:
        more = f" and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        listed = f"{', '.join(wrong[:_LISTED])}{more}"
        raise FeaturesError(f"{path} has points ({ID} {listed}) that {what}")


def _text(value: Any) -> str:
    """What a field says, on one line; a number that a program made of an id as the id."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split())


def _whole_number(value: Any) -> int | None:
    try:
        return int(_text(value))
    except ValueError:
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without GDAL's warnings about files that it reads all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield

"""Classes by zone as files: a table, and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from glnet_geo.errors import OutputError
from glnet_geo.feature_output import check_columns, write_geopackage, write_parquet
from glnet_geo.feature_table import FeatureTable
from glnet_geo.figures import save_png
from glnet_geo.geopackage import check_replaced
from glnet_geo.outputs import check_output, publish, working_folder
from glnet_geo.remote import scene_label
from glnet_geo.table_columns import TableColumn, write_csv
from glnet_geo.vector_formats import PARQUET, format_of
from glnet_geo.vector_layer import GEOPACKAGE
from glnet_geo.vector_output import put_in_place
from glnet_geo.zone_chart import draw_shares
from glnet_geo.zone_statistics import ZoneStatistics

LAYER = "zones"
"""Name of the layer in a GeoPackage."""

_CSV = ".csv"
_PNG = ".png"


@dataclass(frozen=True, slots=True)
class ZoneFiles:
    """Where the figures go.

    Attributes:
        table: A `.csv`, `.gpkg` or `.parquet` file, or None.
        chart: A `.png` file, or None.
        is_long: Whether the table has a row for each zone and class.
        has_zones: Whether there are zones, with geometries.
    """

    table: Path | None
    chart: Path | None
    is_long: bool
    has_zones: bool

    @property
    def outputs(self) -> list[Path]:
        """The files that are made."""
        return [one for one in (self.table, self.chart) if one is not None]

    def check(self, overwrite: bool, sources: Sequence[Path]) -> None:
        """Refuses, before any work, outputs that must not or cannot be written.

        Raises:
            OutputError: See `check_output`; or an extension is unknown or does not go with the
                table, or a GeoPackage holds more than would be replaced.
        """
        for path in self.outputs:
            check_output(path, overwrite, tuple(sources))
        if self.chart is not None and self.chart.suffix.lower() != _PNG:
            raise OutputError(f"{self.chart} is no name of a picture. Name a {_PNG} file.")
        if self.table is None or self.table.suffix.lower() == _CSV:
            return
        if self.table.suffix.lower() not in (".gpkg", ".parquet", ".geoparquet"):
            raise OutputError(
                f"{self.table} has none of the extensions of tables: .csv, .gpkg, .parquet."
            )
        if format_of(self.table) == PARQUET:
            return
        if not self.has_zones:
            raise OutputError(
                f"{self.table} would have no geometries, as the whole map is no zone. Give "
                "--zones, or name a .csv file."
            )
        if self.is_long:
            raise OutputError(
                f"{self.table} would have each zone's geometry once for each class. Leave --long "
                "out, or name a .csv file."
            )
        if self.table.exists():
            check_replaced([LAYER], self.table)

    def write(self, found: ZoneStatistics, features: FeatureTable | None) -> None:
        """Writes the files, the table last, each whole or not at all.

        Args:
            found: The figures.
            features: The zones as their file has them; None for the whole raster.

        Raises:
            OutputError: The disk is full, an output cannot be replaced, or there are more columns
                than its format can have.
        """
        with ExitStack() as stack:
            folders = {one: stack.enter_context(working_folder(one)) for one in self.outputs}
            if self.chart is not None:
                picture = folders[self.chart] / "chart.png"
                save_png(draw_shares(found), picture)
            if self.table is not None:
                finished = folders[self.table] / f"finished{self.table.suffix.lower()}"
                self._write_table(finished, self.table, found, features)
            if self.chart is not None:
                publish(picture, self.chart)
            if self.table is not None:
                if self.table.suffix.lower() == _CSV:
                    publish(finished, self.table)
                else:
                    put_in_place({finished: self.table}, self.table)

    def _write_table(
        self, path: Path, output: Path, found: ZoneStatistics, features: FeatureTable | None
    ) -> None:
        columns: list[TableColumn] = found.long_table() if self.is_long else found.wide_table()
        if output.suffix.lower() == _CSV:
            write_csv(path, columns)
        elif format_of(output) == GEOPACKAGE and features is not None:
            check_columns(output, columns)
            write_geopackage(path, output, LAYER, features, columns, _metadata(found))
        else:
            rows = None if self.is_long else features
            write_parquet(path, output, rows, columns, _metadata(found))


def _metadata(found: ZoneStatistics) -> dict[str, str]:
    """What a table says of itself."""
    return {
        "software": f"glnet-geo {version('glnet-geo')}",
        "source": scene_label(found.raster),
        "zones": found.zone_file.name if found.zone_file else "none",
        "areas": found.area_rule,
        "unit": found.unit,
    }

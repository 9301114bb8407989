"""What GDAL does not do in a GeoPackage: copies while others use it, and the styles of QGIS."""

from __future__ import annotations

import sqlite3
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from glnet_geo.errors import OutputError

# As QGIS makes it (qgsogrproviderutils.cpp); it looks for no other columns.
_LAYER_STYLES = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
    f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""
_LISTED = 5  # tables that a message lists
_PATIENCE = 10  # seconds for other programs to finish what they write
_RESERVED = ("gpkg", "rtree_", "sqlite_", "layer_styles")
# No layer of GDAL's may begin with one of them (GDALGeoPackageDataset::ICreateLayer).
_REFUSED = tuple(set(string.punctuation) - {"_"})
# QGIS parts a layer's name from its file at the one, and finds no style for a name with the other.
_UNREADABLE = str.maketrans("|\\", "//")


def layer_names(class_names: Mapping[int, str]) -> dict[int, str]:
    """Names for the layers of classes, to which GDAL may refuse their own names, or QGIS.

    Args:
        class_names: By id.

    Returns:
        By id; no two are the same to SQLite.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    for class_id, class_name in class_names.items():
        is_refused = class_name.startswith(_REFUSED) or _folded(class_name).startswith(_RESERVED)
        name = (f"class {class_name}" if is_refused else class_name).translate(_UNREADABLE)
        while _folded(name) in taken:
            name = f"{name} ({class_id})"
        taken.add(_folded(name))
        names[class_id] = name
    return names


def check_layers(
    layers: Iterable[str], path: Path | None, overwrite: bool, named: Path | None = None
) -> None:
    """Refuses layers that must not be added to a GeoPackage.

    Args:
        layers: Names of the layers to be added.
        path: The GeoPackage; None for a new one.
        overwrite: Whether layers that exist may be replaced.
        named: What it is a copy of, for messages.

    Raises:
        OutputError: A name is reserved or taken, or the file is no GeoPackage.
    """
    # SQLite's names differ in more than the case of their ASCII letters.
    taken = {_folded(name): name for name in _tables(path)} if path else {}
    for name in layers:
        if _folded(name).startswith(_RESERVED):
            raise OutputError(f"The layer {name!r} has a reserved name. Choose another.")
        if not overwrite and _folded(name) in taken:
            raise OutputError(
                f"{named or path} has a layer {taken[_folded(name)]!r}. Use --overwrite to replace "
                "it, or another name."
            )


def check_replaced(
    layers: Iterable[str], path: Path, advice: str = "Add --append to keep them"
) -> None:
    """Refuses to replace a GeoPackage that holds more than what takes its place.

    Args:
        layers: Names of the layers of the new one.
        path: The existing file.
        advice: How to keep what it holds, for the message.

    Raises:
        OutputError: It has other layers or tables.
    """
    try:
        tables = _tables(path)
    except OutputError:
        return  # no GeoPackage, or a broken one: nothing in it can be kept
    own = {_folded(name) for name in layers}
    others = [
        name
        for name in tables
        if _folded(name) not in own and not _folded(name).startswith(_RESERVED)
    ]
    if others:
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        raise OutputError(
            f"{path} also has {', '.join(map(repr, others[:_LISTED]))}{more}, which --overwrite "
            f"would delete. {advice}, or remove the file first."
        )


def _tables(path: Path) -> list[str]:
    with path.open("rb") as file:
        is_database = file.read(16) == b"SQLite format 3\0"
    if is_database:
        with _open(path, path) as database:
            found = database.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            )
            tables = [name for (name,) in found]
        if "gpkg_contents" in tables:
            return tables
    raise OutputError(f"{path} is no GeoPackage. --append adds layers to GeoPackages only.")


def _folded(name: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Keeps other programs from writing to a GeoPackage until the block ends.

    They may read it, and are told "database is locked" when they write. Nothing in this process but
    `copy_geopackage` may open the file meanwhile: POSIX takes all locks on a file from a process
    that closes it anywhere, which SQLite alone knows to prevent.

    Raises:
        OutputError: Another program did not finish writing in time.
    """
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    with closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise OutputError(
                f"{path} cannot be written: {error}. Let other programs finish with it, and try "
                "again."
            ) from error
        yield


def copy_geopackage(source: Path, target: Path) -> None:
    """Copies what a GeoPackage holds at this moment, also what its `-wal` has of it.

    Raises:
        OutputError: The disk is full, or another program keeps the source locked.
    """
    with _open(source, source) as database, _open(target, source) as copy:
        database.backup(copy)
        # Else the copy would write a -wal beside it, too.
        copy.execute("PRAGMA journal_mode = DELETE")


def remove_journals(path: Path) -> None:
    """Removes what SQLite would mix into a file that is put in place of another one."""
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def features_of(path: Path, layer: str) -> int:
    """Features of a finished layer, 0 where it lacks what GDAL writes last.

    GDAL may close a file on a full disk without a word; then index or extent are missing.

    Args:
        path: The GeoPackage.
        layer: The layer, whose geometry column is `geom`.
    """
    queries = (
        f"SELECT count(*) FROM {quoted(layer)}",
        f"SELECT count(*) FROM {quoted(f'rtree_{layer}_geom_rowid')}",
        "SELECT feature_count * (max_y NOT NULL OR feature_count = 0) FROM gpkg_ogr_contents "
        "JOIN gpkg_contents USING (table_name) WHERE table_name = :layer",
    )
    try:
        with _open(path, path) as database:
            found = [database.execute(query, {"layer": layer}).fetchone() for query in queries]
    except OutputError:
        return 0
    counts = {row and row[0] for row in found}
    return int(counts.pop()) if len(counts) == 1 else 0


def add_index(path: Path, layer: str, column: str, output: Path) -> None:
    """Makes a filter by a column fast.

    Raises:
        OutputError: The disk is full.
    """
    with _open(path, output) as database:
        database.execute(f"CREATE INDEX by_value ON {quoted(layer)} ({quoted(column)})")


def add_styles(path: Path, styles: Mapping[str, str | None], output: Path) -> None:
    """Adds for each layer the style with which QGIS opens it, in place of those that it has.

    Args:
        path: The GeoPackage in the making.
        styles: QML by name of the layer; None for a layer that gets none.
        output: What it will be, for messages.

    Raises:
        OutputError: The disk is full, or the table of styles is not the one of QGIS.
    """
    with _open(path, output) as database:
        database.execute(_LAYER_STYLES)
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
        for layer, qml in styles.items():
            database.execute(
                "DELETE FROM layer_styles WHERE lower(f_table_name) = lower(?)", (layer,)
            )
            if qml is None:
                continue
            # QGIS finds no style where catalog and schema are NULL.
            database.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
                "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, "
                "owner) VALUES ('', '', ?, 'geom', 'classes', ?, '', 1, 'land cover', '')",
                (layer, qml),
            )


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _open(path: Path, named: Path) -> Iterator[sqlite3.Connection]:
    """A database, committed at the end of the block unless that fails, and closed."""
    try:
        with closing(sqlite3.connect(path)) as database, database:
            yield database
    except sqlite3.Error as error:
        raise OutputError(f"{named} cannot be written: {error}.") from error

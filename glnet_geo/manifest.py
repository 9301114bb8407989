"""The record of a batch: what its next run continues from.

`manifest.json` is whole at every moment; what came since it was last written stands in
`.manifest.journal` beside it, a line a record, and is read along with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from glnet_geo.batch_record import SceneRecord, State
from glnet_geo.errors import BatchError, OutputError
from glnet_geo.journal import Journal, read_journal, to_json
from glnet_geo.outputs import publish

MANIFEST = "manifest.json"
FORMAT = 1
_JOURNAL = ".manifest.journal"
_PAUSE_S = 2.0
# Writing everything again may take this part of the time at most, however many scenes there are.
_SHARE = 0.05


class Manifest(AbstractContextManager["Manifest"]):
    """What is known of every scene of a batch, kept in the batch's folder.

    One process writes it; its threads may share it.

    Attributes:
        products: What the files that describe all maps were made of, and their names; kept when
            all is saved.
    """

    def __init__(self, folder: Path, software: str) -> None:
        """Reads what an earlier run left; nothing is written before the first record.

        Args:
            folder: The batch's folder, made with the first record if need be.
            software: Name and version of the program, for the reader.

        Raises:
            BatchError: There is a manifest that cannot be used.
        """
        self._path = folder / MANIFEST
        self._software = software
        self._lock = threading.RLock()
        self._journal: Journal | None = None
        self._has_changed = False
        self._written_at = 0.0
        self._writing_s = 0.0
        self._records, self._settings, self.products = _read(self._path)
        # What the journal's lines may refer to.
        self._known_crs: dict[str, int] = {}
        self._known_settings: set[str] = set()

    @property
    def records(self) -> Mapping[str, SceneRecord]:
        """What is known of each scene, by name; a live view."""
        return MappingProxyType(self._records)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Parameters by their digest."""
        return MappingProxyType(self._settings)

    def setting(self, table: Mapping[str, Any]) -> str:
        """Keeps parameters that scenes share once for all of them.

        Args:
            table: JSON values.

        Returns:
            A digest of them for `SceneRecord.settings`, equal for equal tables.
        """
        text = json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        with self._lock:
            self._settings[digest] = json.loads(text)
        return digest

    def record(self, record: SceneRecord, *, durable: bool = True) -> None:
        """Keeps what is known of a scene now, in place of what was known before.

        Args:
            record: It.
            durable: Whether it is safe against a power cut on return; it always is against the
                end of this process.

        Raises:
            OutputError: The disk is full or the like. What was kept before stays.
        """
        with self._lock:
            self._records[record.name] = record
            self._has_changed = True
            if self._journal is None:
                self.save()
                return
            self._append(record, durable)
            if self._is_due():
                # Where a viewer holds the manifest open (Windows), or space for a copy is missing,
                # the journal still grows.
                self._written_at = time.monotonic()
                try:
                    self.save()
                except OutputError:
                    self._writing_s = time.monotonic() - self._written_at

    def keep_only(self, names: Collection[str]) -> None:
        """Forgets the scenes that are not among `names`."""
        with self._lock:
            for name in self._records.keys() - set(names):
                del self._records[name]
                self._has_changed = True

    def save(self) -> None:
        """Writes the manifest, and empties the journal.

        Raises:
            OutputError: The disk is full or the like. What was kept before stays.
        """
        with self._lock, _told(self._path):
            started = time.monotonic()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            edition = secrets.token_hex(8)
            _write_whole(self._path, self._lines(edition))
            self._has_changed = False
            self._restart_journal(edition)
            self._written_at = time.monotonic()
            self._writing_s = self._written_at - started

    def close(self) -> None:
        """Writes the manifest if anything changed; then no journal remains.

        Raises:
            OutputError: As `save`; the journal stays.
        """
        with self._lock:
            try:
                if self._has_changed:
                    self.save()
            except OutputError:
                if self._journal is not None:
                    self._journal.close()
                raise
            else:
                if self._journal is not None:
                    self._journal.remove()
            finally:
                self._journal = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except OutputError:
            # The error that ended the batch is the one to tell.
            if kind is None:
                raise

    def _is_due(self) -> bool:
        passed = time.monotonic() - self._written_at
        return passed >= _PAUSE_S and self._writing_s <= _SHARE * passed

    def _append(self, record: SceneRecord, durable: bool) -> None:
        """Adds a line to the journal, after what it refers to for the first time."""
        assert self._journal is not None
        lines: list[dict[str, Any]] = []
        digest = record.settings
        if digest in self._settings and digest not in self._known_settings:
            lines.append({"setting": digest, "table": self._settings[digest]})
            self._known_settings.add(digest)
        n_known = len(self._known_crs)
        table = _to_table(record, self._known_crs)
        lines.extend({"crs": crs} for crs in list(self._known_crs)[n_known:])
        lines.append({"name": record.name, "scene": table})
        try:
            with _told(self._path):
                self._journal.append(*lines, durable=durable)
        except OutputError:
            # Behind half a line nothing counts: the next record writes everything.
            self._journal.close()
            self._journal = None
            raise

    def _restart_journal(self, edition: str) -> None:
        journal, self._journal = self._journal, None
        if journal is None:
            journal = Journal(self._path.with_name(_JOURNAL), edition)
        else:
            try:
                journal.restart(edition)
            except BaseException:
                journal.close()
                raise
        self._journal = journal
        self._known_crs.clear()
        self._known_settings.clear()

    def _lines(self, edition: str) -> Iterator[bytes]:
        """The document, a line a scene, so that people can search and compare it."""
        crs: dict[str, int] = {}
        used = {record.settings for record in self._records.values()}
        settings = {digest: table for digest, table in self._settings.items() if digest in used}
        head: dict[str, Any] = {"format": FORMAT, "software": self._software, "edition": edition}
        head["products"] = self.products
        yield to_json({**head, "settings": settings})[:-1] + b',\n"scenes":{'
        separator = b"\n"
        for name, record in self._records.items():
            yield separator + to_json(name) + b":" + to_json(_to_table(record, crs))
            separator = b",\n"
        yield b'\n},\n"crs":' + to_json(list(crs)) + b"}\n"


def _to_table(record: SceneRecord, crs: dict[str, int]) -> dict[str, Any]:
    """The JSON form of a record, with the number of its CRS among those in `crs`."""
    table = record.to_dict()
    grid = table["facts"]["grid"] if table["facts"] else {"crs": None}
    if grid["crs"] is not None:
        grid["crs"] = crs.setdefault(grid["crs"], len(crs))
    return table


def _from_table(name: str, table: dict[str, Any], crs: Sequence[str]) -> SceneRecord:
    grid = table["facts"]["grid"] if table["facts"] else {"crs": None}
    if grid["crs"] is not None:
        grid["crs"] = crs[grid["crs"]]
    record = SceneRecord.from_dict(name, table)
    # Whoever ran it runs no more.
    return replace(record, state=State.PENDING) if record.state is State.RUNNING else record


def _read(path: Path) -> tuple[dict[str, SceneRecord], dict[str, Any], dict[str, Any]]:
    """The records, settings and products that an earlier run left beside and at a path."""
    advice = "or remove it and start over with --overwrite."
    try:
        document = json.loads(path.read_bytes())
        if document["format"] > FORMAT:
            raise BatchError(
                f"{path} was written by a newer version ({document['software']}). Update, {advice}"
            )
        scenes, crs = document["scenes"], document["crs"]
        records = {name: _from_table(name, table, crs) for name, table in scenes.items()}
        settings = dict(document["settings"])
        _replay(read_journal(path.with_name(_JOURNAL), document["edition"]), records, settings)
    except FileNotFoundError:
        return {}, {}, {}
    except OSError as error:
        raise BatchError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise BatchError(f"{path} is damaged. Put a copy in its place, {advice}") from None
    return records, settings, dict(document.get("products", {}))


def _replay(
    lines: list[dict[str, Any]], records: dict[str, SceneRecord], settings: dict[str, Any]
) -> None:
    crs: list[str] = []
    for line in lines:
        if "setting" in line:
            settings[line["setting"]] = line["table"]
        elif "crs" in line:
            crs.append(line["crs"])
        else:
            records[line["name"]] = _from_table(line["name"], line["scene"], crs)


def _write_whole(path: Path, lines: Iterator[bytes]) -> None:
    """Puts a new document in place of an old one, on the disk when this returns."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            file.writelines(lines)
        publish(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The journal that the old document needs is emptied next.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tells what the system refuses in one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error

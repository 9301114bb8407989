"""Lines appended to a file between two writings of the document that they belong to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Appends lines, each of them whole or ignored by `read_journal`.

    The first line names the document's edition which the others continue. So lines that a newer
    edition contains already, because of a kill between its writing and `restart`, count no more.
    """

    def __init__(self, path: Path, edition: str) -> None:
        self._path = path
        # Without a buffer: what a failed write left in one would follow later.
        self._file = path.open("wb", buffering=0)
        try:
            self.append({"edition": edition})
        except BaseException:
            self._file.close()
            raise

    def append(self, *tables: dict[str, Any], durable: bool = False) -> None:
        """Adds a line for each table.

        Args:
            tables: Their contents, JSON values.
            durable: Whether they are on the disk, safe against a power cut, on return; otherwise
                they are safe against the end of the process.
        """
        rest = memoryview(b"".join(to_json(table) + b"\n" for table in tables))
        while rest:
            rest = rest[self._file.write(rest) :]
        if durable:
            os.fsync(self._file.fileno())

    def restart(self, edition: str) -> None:
        """Empties it for the lines that continue a new edition."""
        self._file.seek(0)
        self._file.truncate()
        self.append({"edition": edition})

    def close(self) -> None:
        """Closes the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """Closes and removes the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def read_journal(path: Path, edition: str) -> list[dict[str, Any]]:
    """The lines that continue an edition, up to one that was not finished.

    Returns:
        What was appended; nothing if there is no journal or it continues another edition.
    """
    try:
        head, *lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    tables: list[dict[str, Any]] = []
    try:
        if json.loads(head) != {"edition": edition}:
            return []
        # Behind the last line break is nothing, or a torn line.
        tables.extend(json.loads(line) for line in lines[:-1])
    except ValueError:
        # A power cut can leave a hole; what was durable lies before it.
        pass
    return tables


def to_json(value: Any) -> bytes:
    """One line of JSON in UTF-8.

    File names that are not UTF-8 reach Python with lone surrogates; their escapes are JSON's, too.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")

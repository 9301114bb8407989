"""What to call zones, out of what their file says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glnet_geo.errors import FeaturesError
from glnet_geo.table_columns import TableColumn

_WORDS = ("name", "nom", "nombre", "nome", "label", "title", "district", "zone", "region", "id")
_LISTED = 24  # columns that a message lists


def zone_names(
    path: Path, columns: Sequence[TableColumn], count: int, chosen: str | None
) -> list[str]:
    """A name for each zone; "zone 3" is that of the third one where it has none.

    Without a choice that is the first text column whose name is "name" or the like, else the first
    that has such a word in its name, else the first text column whose values all differ.

    Args:
        path: The file, for messages.
        columns: What it says.
        count: How many zones there are.
        chosen: The column; None to guess.

    Raises:
        FeaturesError: There is no such column.
    """
    column = _guess(columns) if chosen is None else _find(path, columns, chosen)
    values = [None] * count if column is None else column.values
    texts = [" ".join(str(one).split()) if one is not None else "" for one in values]
    return [text or f"zone {row}" for row, text in enumerate(texts, 1)]


def _find(path: Path, columns: Sequence[TableColumn], chosen: str) -> TableColumn:
    for fold in (str, str.casefold):
        for one in columns:
            if fold(one.name) == fold(chosen):
                return one
    names = [one.name for one in columns]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    found = f"It has {', '.join(names[:_LISTED])}{more}." if names else "It has none."
    raise FeaturesError(f"{path} has no field {chosen!r}. {found}")


def _guess(columns: Sequence[TableColumn]) -> TableColumn | None:
    texts = [one for one in columns if one.kind == "text" and any(one.values)]
    for word in _WORDS:
        for one in texts:
            if one.name.casefold() == word:
                return one
    for word in _WORDS[:-1]:  # "id" is a part of many words
        for one in texts:
            if word in one.name.casefold():
                return one
    return next((one for one in texts if len(set(one.values)) == len(one.values)), None)

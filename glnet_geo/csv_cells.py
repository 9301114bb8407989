"""Cells of the CSVs that are written for spreadsheets and scripts.

Numbers have a dot and no thousands separator in every locale. A text that begins like a formula
(`=`, `+`, `-`, `@` or a control character) gets an apostrophe in front, so that no spreadsheet
runs what somebody put in a file's name (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def text_cell(value: str) -> str:
    """A text."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def number_cell(value: float | None) -> str:
    """A number, or nothing. Six digits: a pixel of 0.1 m is a millionth of a hectare."""
    return "" if value is None else f"{value:.6f}"

"""Cells of the CSVs that are written for spreadsheets and scripts.

Numbers have a dot and no thousands separator in every locale. A text that begins like a formula
(`=`, `+`, `-`, `@` or a control character) gets an apostrophe in front, so that no spreadsheet
runs what somebody put in a file's name (https://owasp.org/www-community/attacks/CSV_Injection).
A number, such as the name of a class without one, is none.
"""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[-+][0-9]+(\.[0-9]+)?")


def text_cell(value: str) -> str:
    """A text."""
    is_formula = value.startswith(_FORMULA) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def number_cell(value: float | None) -> str:
    """A number, or nothing. Six digits: a pixel of 0.1 m is a millionth of a hectare."""
    return "" if value is None else f"{value:.6f}"

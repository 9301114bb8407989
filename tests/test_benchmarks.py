"""Limits of time and memory, held by the benchmarks that measure them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.alone
@pytest.mark.parametrize(
    "words",
    [
        # 2448 x 2448 in under 30 s and 1.5 GB.
        ("prediction.py", "--short"),
        ("zones.py", "--quick"),
        ("changes.py", "--quick"),
        # 20,000 x 20,000 in under a minute, or a minute and a half, and 1 GB.
        pytest.param(("zones.py",), marks=pytest.mark.slow),
        pytest.param(("changes.py",), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_limits_are_kept(words):
    command = [sys.executable, str(BENCHMARKS / words[0]), *words[1:]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr

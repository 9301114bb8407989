from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from tests.models import small_model


@dataclass(frozen=True)
class CliResult:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a failed command prints."""
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("Error: "), self.err
        return lines[0]


@pytest.fixture
def cli(monkeypatch, capsys):
    """Runs `glnet-geo` with its error boundary, in this process."""
    from glnet_geo.cli.main import main

    def run(*arguments) -> CliResult:
        monkeypatch.setattr(sys, "argv", ["glnet-geo", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return CliResult(caught.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A small model file with random weights; not to be changed."""
    return small_model(tmp_path_factory.mktemp("model") / "small.safetensors")

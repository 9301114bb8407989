"""The picture of a report in the documentation, taken in a real Chromium.

    python benchmarks/report_picture.py demo/report.html docs/report.png [--scheme dark]

The commands that make the page stand in docs/report.md.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.browsing import chromium

_WIDTH, _HEIGHT = 1280, 1140


def main() -> None:
    """Takes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    arguments = parser.parse_args()
    with chromium() as browser:
        browser.show(arguments.page, arguments.scheme, _WIDTH, _HEIGHT)
        picture = Image.open(io.BytesIO(browser.picture()))
    picture.convert("RGB").save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()

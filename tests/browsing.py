"""A real browser for pages: Debian's Chromium without a window, driven by selenium."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)

# Every text with a background that is not see-through, and how they contrast by WCAG 2.
_CONTRASTS = """
const part = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (one) => {
  for (; one; one = one.parentElement) {
    const color = parse(getComputedStyle(one).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || ['SCRIPT', 'STYLE'].includes(one.tagName) || !one.getClientRects().length) continue;
  const pair = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort();
  found.push([(pair[1] + 0.05) / (pair[0] + 0.05), text.slice(0, 40)]);
}
return found;
"""


class Browser:
    """Pages as people see them."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, code: str, *arguments: Any) -> Any:
        """Runs a script in the page."""
        return self.driver.execute_script(code, *arguments)

    def settled(self) -> None:
        """Waits until what is asked for is drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0]; const frame = requestAnimationFrame;"
            "frame(() => frame(async () => {"
            "  await Promise.all([...document.images].map((one) => one.decode().catch(() => 0)));"
            "  frame(() => setTimeout(done, 0)); }));"
        )

    def show(
        self, path: Path, scheme: str = "light", width: int = 1280, height: int = 1200
    ) -> None:
        """Opens a page in a window of some size, in light or dark."""
        self.messages(), self.requests()  # of the page before
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media="", features=features)
        self.driver.get(path.absolute().as_uri())
        self.settled()

    def messages(self) -> list[str]:
        """What the page has written to the console since the last call, errors included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """URLs that have been asked for since the last call, but those of `data:`."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def contrasts(self) -> list[tuple[float, str]]:
        """Contrast of each text that is seen, and its beginning."""
        return [(ratio, text) for ratio, text in self.run(_CONTRASTS)]

    def named_nodes(self) -> list[tuple[str, str]]:
        """Role and name of what a screen reader meets."""
        nodes = self.command("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored")
        ]

    def pdf(self) -> bytes:
        """The page on paper."""
        printed = self.command("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(printed["data"])

    def picture(self) -> bytes:
        """What is in the window, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser as long as the block lasts; a test that needs it is skipped where it is missing."""
    if not BINARY or not DRIVER:
        pytest.skip("Chromium and its driver are not installed: apt-get install chromium-driver")
    options = Options()
    options.binary_location = BINARY
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()

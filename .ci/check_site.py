"""Open every page of the built site in a headless browser, as on a phone and on a desk, in light and in dark.

Each must load without a message in the console, show every picture, and never scroll sideways.
Arguments: the directory of the site.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SIZES = ((390, 844), (1280, 900))
FAULTS = """
const width = arguments[0];
const wide = document.documentElement.scrollWidth - width;
const missing = [...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.src);
const widest = [...document.querySelectorAll('article *')].filter(
    part => part.getBoundingClientRect().right > width + 1
        && !part.closest('div.highlight, .table-wrapper, .formula')
).map(part => part.tagName + ' ' + part.textContent.slice(0, 60));
const raw = document.body.innerText.match(/\\\\\\[|\\\\\\(|\\$\\$/g) || [];
return [
    wide > 0 ? `scrolls sideways by ${wide}: ${widest.slice(0, 3)}` : '',
    missing.length ? `no picture: ${missing}` : '',
    raw.length ? `formulas that are not rendered: ${raw}` : '',
].filter(Boolean);
"""


def browser(folder: str) -> webdriver.Chrome:
    """Return a headless browser that asks the network for nothing."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for name in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", f"user-data-dir={folder}",
    ):  # fmt: skip
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def faults(driver: webdriver.Chrome, page: Path) -> Iterator[str]:
    """Yield what is wrong with a page at every size, in light and in dark."""
    for width, height in SIZES:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800},
        )
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            driver.get(page.as_uri())
            said = [entry["message"] for entry in driver.get_log("browser")]
            for fault in [*driver.execute_script(FAULTS, width), *said]:
                yield f"{page.name}, {width} wide, {scheme}: {fault}"


def main(site: Path) -> int:
    """Return 1 if anything is wrong, after saying it."""
    pages = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    with tempfile.TemporaryDirectory() as folder:
        driver = browser(folder)
        try:
            found = [fault for page in pages for fault in faults(driver, page)]
        finally:
            driver.quit()
    print("\n".join(found) or f"{len(pages)} pages: nothing wrong")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))

"""Open the page of cdq watch in a headless browser: as on a phone and on a desk, in light and in dark.

A run that ended, and a job whose workers and environment have names that are meant to do harm. Nothing may come into
the console, scroll sideways, be loaded from elsewhere or be taken for more than a text; what changes is shown at once,
and that the command has ended is said.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from check_site import SIZES, browser
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

import cdq
from cdq.cli.watching import Board, DirectoryWatch
from cdq.job.web import Address, Site

RUDE = "<img src=x onerror=document.title='harm'>" + "&lt;" + "x" * 60
JOB: dict[str, Any] = {
    "run": {
        "title": f"<script>document.title='harm'</script>{RUDE}",
        "source": f"zmq+curve://{'host.' * 20}example:5555",
        "state": "running",
        "says": "The workers learn.",
        "share": 0.25,
        "figures": [["steps", "1,000 of 4,000 (25%)"], [RUDE, RUDE]],
        "troubles": [RUDE],
    },
    "curves": {
        "mean_return": [[0.0, 500.0, 1000.0], [-1e300, 0.0, 1e300]],
        "greedy_return": [[1000.0], [0.5]],
        "gap": [[10.0, 1000.0], [1e-12, 5.0]],
        "window": [[0.0, 1000.0], [7.0, 7.0]],
        "bytes": [[0.0], [0.0]],
    },
    "table": {
        "states": 10**6,
        "actions": 20,
        "names": [str(2**64 - 1), "1"],
        "rows": [[1.0, None] + [1e-300] * 6] * 2,
        "best": [0, 19],
        "weights": False,
    },
    "workers": [
        {"who": f"worker 0 ({RUDE})", "state": "learning", "speed": 1e6, "steps": 10**12, "seen": 0.1},
        {"who": "worker 1", "state": "lost", "speed": None, "steps": None, "seen": None},
        {"who": "worker 2", "state": RUDE, "speed": None, "steps": None, "seen": 1e9},
    ],
    "events": [["00:00:00", RUDE], ["00:00:01", "worker 1 was lost"]],
}
EMPTY: dict[str, Any] = {
    "run": {
        **JOB["run"],
        "figures": [],
        "troubles": [],
        "state": "waiting",
        "share": 0.0,
        "title": "nothing",
    },
    "curves": {},
    "table": {"states": 0, "actions": 0, "names": [], "rows": [], "best": [], "weights": True},
    "workers": [],
    "events": [],
}
FAULTS = """
const width = arguments[0];
const wide = [...document.querySelectorAll('main *')].filter(
    part => part.getBoundingClientRect().right > width + 1 && !part.closest('.scroll'));
const unnamed = [...document.querySelectorAll('svg')].filter(picture => !picture.getAttribute('aria-label'));
const entries = performance.getEntriesByType('resource').map(entry => entry.name);
return [
    document.documentElement.scrollWidth > width ? `the page is ${document.documentElement.scrollWidth} wide` : '',
    wide.length ? `scrolls sideways: ${wide.slice(0, 3).map(part => part.outerHTML.slice(0, 80))}` : '',
    unnamed.length ? 'a picture has no words' : '',
    document.images.length || document.title.startsWith('harm') ? 'a text was taken for more' : '',
    entries.filter(name => !name.startsWith(location.origin)).map(name => `loads ${name}`).join(),
    /NaN|undefined|Infinity/.test(document.querySelector('main').innerHTML) ? 'figures that are none' : '',
].filter(Boolean);
"""


def text_of(driver: webdriver.Chrome) -> str:
    """Return what the page says."""
    return str(driver.execute_script("return document.body.innerText"))


def wait_for(driver: webdriver.Chrome, text: str) -> None:
    """Wait until the page says something."""
    WebDriverWait(driver, 20).until(lambda page: text in text_of(page), f"{text!r} does not come")


def faults(driver: webdriver.Chrome, url: str, name: str, text: str) -> Iterator[str]:
    """Yield what is wrong with the page, which is to say a text, at every size, in light and in dark."""
    for width, height in SIZES:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            driver.get(url)
            wait_for(driver, text)
            time.sleep(0.3)  # curves are drawn once they know how wide they are
            said = [entry["message"] for entry in driver.get_log("browser")]
            for fault in [*driver.execute_script(FAULTS, width), *said]:
                yield f"{name}, {width} wide, {scheme}: {fault}"


def of_a_board(driver: webdriver.Chrome) -> Iterator[str]:
    """Yield what is wrong with a job of rude names, one of nothing, and with the end of the command."""
    board = Board()
    with Site(Address("127.0.0.1", 0), board.pages(), "the page") as site:
        board.show(JOB)
        yield from faults(driver, site.url, "a job", RUDE)
        changed = {**JOB["run"], "says": "Something else by now."}
        board.show({"run": changed})
        wait_for(driver, changed["says"])
        board.show(EMPTY)
        yield from faults(driver, site.url, "nothing", "Waiting.")
        board.close()
        port = int(site.url.rsplit(":", 1)[1].strip("/"))
    wait_for(driver, "cdq watch has ended.")
    board = Board()
    board.show(JOB)
    with Site(Address("127.0.0.1", port), board.pages(), "the page"):
        wait_for(driver, JOB["run"]["says"])
        board.close()
    driver.get_log("browser")  # that nobody was there was to be expected


def of_a_run(driver: webdriver.Chrome, folder: Path) -> Iterator[str]:
    """Yield what is wrong with the page of a run."""
    cdq.QLearner("FrozenLake8x8-v1", seed=0, checkpoint=folder / "lake").learn(1e6, verbose=0)
    board = Board()
    board.show(DirectoryWatch(folder / "lake", None).look())
    with Site(Address("127.0.0.1", 0), board.pages(), "the page") as site:
        yield from faults(driver, site.url, "a run", "it reached its goal")
        if driver.execute_script("return document.querySelectorAll('#heat rect').length") != 64:
            yield "the table of 64 states has not as many cells"
        board.close()


def main() -> int:
    """Return 1 if anything is wrong, after saying it."""
    with tempfile.TemporaryDirectory() as folder:
        driver = browser(folder)
        try:
            found = [*of_a_board(driver), *of_a_run(driver, Path(folder))]
        finally:
            driver.quit()
    print("\n".join(found) or "the page of cdq watch: nothing wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

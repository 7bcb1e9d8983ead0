"""Take the picture of cdq watch: ``python -m docs.draw_watch``; needs the extra zmq, selenium, and Chromium.

A hub, three workers with keys, of which one is killed, and the page as a headless browser shows it after that.
"""

from __future__ import annotations

import io
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from cdq.comm.zmq.keys import allow, keygen

TARGET = Path(__file__).with_name("pictures") / "watch.png"
WIDTH = 1000
STATES = "return [...document.querySelectorAll('#workers td:nth-child(2)')].map(cell => cell.textContent)"


@contextmanager
def command(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a command of cdq while the context lasts."""
    program = [sys.executable, "-m", "cdq", *map(str, arguments)]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(driver: Any, states: list[str]) -> None:
    """Wait until the page shows workers in these states."""
    until = time.monotonic() + 60
    while sorted(driver.execute_script(STATES)) != sorted(states):
        if time.monotonic() > until:
            raise TimeoutError(f"the workers are {driver.execute_script(STATES)}")
        time.sleep(0.2)


def picture(folder: Path) -> bytes:
    """Return the picture as a PNG file."""
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        url = f"zmq+curve://127.0.0.1:{door.getsockname()[1]}"
    keygen(folder / "hub")
    for name in ("north", "south", "east"):
        allow(folder / "hub", keygen(folder / name), name)
        (folder / name / "hub.public").write_text((folder / "hub" / "own.public").read_text())
    job = (
        "--env",
        "FrozenLake8x8-v1",
        "--seed",
        "0",
        "--workers",
        "2",
        "--sync-every",
        "4000",
        "--steps",
        "1e8",
    )
    with ExitStack() as stack:
        stack.enter_context(
            command("hub", "--bind", url, "--keys", folder / "hub", *job, "--checkpoint", folder / "job")
        )
        workers = [
            stack.enter_context(command("join", url, "--keys", folder / name))
            for name in ("north", "south", "east")
        ]
        page = stack.enter_context(command("watch", url, "--keys", folder / "north"))
        assert page.stdout is not None
        where = page.stdout.readline().split(" is shown at ")[1].split()[0]
        driver = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "check_site.py"))["browser"](
            str(folder / "browser")
        )
        stack.callback(driver.quit)
        size = {"width": WIDTH, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(where)
        wait_for(driver, ["● learning"] * 3)
        workers[-1].kill()
        wait_for(driver, ["● learning", "● learning", "✗ lost"])
        height = driver.execute_script("return document.getElementById('gap').getBoundingClientRect().bottom")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "height": round(height) + 16})
        return small(driver.get_screenshot_as_png())


def small(png: bytes) -> bytes:
    """Return a picture with 256 colours."""
    written = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(
        written, "png", optimize=True
    )
    return written.getvalue()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        TARGET.write_bytes(picture(Path(folder)))

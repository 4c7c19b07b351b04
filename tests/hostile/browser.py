"""What Chromium makes of an image, asked over its debugging pipe: no driver, no port, no screenshot to wait for."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sluice.moderation.values import Pixels

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGES = ("white", "black")
_PATIENCE_S = 60.0
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-extensions", "--disable-background-networking", "--disable-sync", "--mute-audio"),
    *("--force-color-profile=srgb", "--remote-debugging-pipe", "about:blank"),
)
# The browser reads from file 3 and writes to file 4.
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_SCRIPT = """
const text = (bytes) => {
  let out = "";
  for (let at = 0; at < bytes.length; at += 32768) out += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(out);
};
const on = (picture, width, height, page) => {
  const canvas = new OffscreenCanvas(width, height), pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.fillStyle = page;
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0);
  return text(pen.getImageData(0, 0, width, height).data);
};
async function looks(data, type, pages) {
  const blob = new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], {type});
  const image = new Image(), address = URL.createObjectURL(blob), found = [];
  image.src = address;
  try { await image.decode(); } catch (error) { return null; } finally { URL.revokeObjectURL(address); }
  const {naturalWidth: width, naturalHeight: height} = image;
  for (const page of pages) found.push([width, height, on(image, width, height, page)]);
  const decoder = new ImageDecoder({data: await blob.arrayBuffer(), type});
  await decoder.tracks.ready;
  await decoder.completed;
  const count = decoder.tracks.selectedTrack.frameCount;
  for (let frameIndex = 1; frameIndex < count; frameIndex++) {
    let frame;
    try { frame = (await decoder.decode({frameIndex})).image; } catch (error) { break; }
    const {displayWidth: wide, displayHeight: high} = frame;
    for (const page of pages) found.push([wide, high, on(frame, wide, high, page)]);
    frame.close();
  }
  return found;
}
"""


@dataclass(slots=True)
class Browser:
    """One page of a headless Chromium."""

    _into: int
    _out: int
    _session: str = ""
    _number: int = 0
    _heard: bytes = b""

    def open(self, page: Path) -> None:
        """Load a page from a file; files are a secure place, where `ImageDecoder` exists."""
        target = self._ask("Target.createTarget", url=page.as_uri())["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        deadline_s = time.monotonic() + _PATIENCE_S
        while self._evaluated("typeof looks") != "function":
            assert time.monotonic() < deadline_s, "the page does not load"

    def looks(self, data: bytes, mime: str) -> list[Pixels] | None:
        """Return every frame it can decode on white and on black, (h, w, 3) uint8; None when it shows nothing."""
        arguments = json.dumps([base64.b64encode(data).decode(), mime, PAGES])
        found = self._evaluated(f"looks(...{arguments}).catch((error) => String(error))")
        if found is None or isinstance(found, str):
            return None
        return [_pixels(*look) for look in found]

    def _evaluated(self, expression: str) -> Any:
        answer = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        with open(self._into, "wb", closefd=False) as file:
            file.write(json.dumps(message).encode() + b"\0")
        while (answer := self._hear()).get("id") != self._number:
            pass
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        """Wait for the next message; what comes unasked is one too."""
        parts = [self._heard]
        while b"\0" not in parts[-1]:
            readable, _, _ = select.select([self._out], [], [], _PATIENCE_S)
            assert readable, "the browser does not answer"
            parts.append(os.read(self._out, 1 << 20))
            assert parts[-1], "the browser has gone"
        message, _, self._heard = b"".join(parts).partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        return heard


def executable() -> str | None:
    """Return where Chromium is, None when it is not installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """Run a browser with a profile of its own, and a page that knows `looks`."""
    with TemporaryDirectory(prefix="hostile-browser-", ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "page.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><script>{_SCRIPT}</script>")
        theirs_in, ours_in = (_high(number) for number in os.pipe())
        ours_out, theirs_out = (_high(number) for number in os.pipe())
        command = [
            sys.executable,
            "-c",
            _START,
            str(theirs_in),
            str(theirs_out),
            path,
            f"--user-data-dir={folder}/profile",
        ]
        with subprocess.Popen(
            [*command, *_FLAGS], pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            os.close(theirs_in)
            os.close(theirs_out)
            try:
                browser = Browser(ours_in, ours_out)
                browser.open(page)
                yield browser
                browser._session = ""
                browser._ask("Browser.close")
            finally:
                os.close(ours_in)
                os.close(ours_out)
                process.terminate()


def _high(number: int) -> int:
    """Move a descriptor out of the way of 3 and 4."""
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(number)
    return moved


def _pixels(width: int, height: int, data: str) -> Pixels:
    rgba = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
    return rgba[..., :3]

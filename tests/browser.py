"""Pages in a real browser: Debian's chromium, without a window, with a profile of its own, and no network."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess

import pytest

PROGRAM = shutil.which("chromium")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
)  # fmt: skip

PHONE, DESK = 390, 1280
"""Widths of a telephone's page and of a desk's, in the units of CSS."""

MEASURE = """<script>
const right = Math.max(0, ...[...document.querySelectorAll("svg text, svg rect, svg circle")].map(
    each => each.getBoundingClientRect().right));
const letters = Math.min(99, ...[...document.querySelectorAll("svg text")].map(
    each => parseFloat(getComputedStyle(each).fontSize)));
window.parent.postMessage(JSON.stringify({
    width: window.innerWidth, page: document.documentElement.scrollWidth, right: right, letters: letters,
    height: document.documentElement.scrollHeight, folded: document.querySelectorAll("details:not([open])").length,
}), "*");
</script></body>"""

FRAME = """<!DOCTYPE html><title></title><script>onmessage = told => { document.title = told.data; };</script>
<iframe src="measured.html" style="border:0;width:%dpx;height:900px"></iframe>"""
"""Chromium's own windows are never as narrow as a telephone."""


def why_not():
    """Return why there is no browser, or None."""
    return None if PROGRAM else "chromium is not installed; ./dev test --all installs it"


def _run(tmp_path, *words):
    argv = ["nice", PROGRAM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)


def measured(tmp_path, html, *, width):
    """Return what a browser of that width makes of a page: its width, where its pictures end, how large letters are."""
    (tmp_path / "measured.html").write_text(html.replace("</body>", MEASURE))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME % width)
    done = _run(
        tmp_path, f"--window-size={width + 300},1000", "--virtual-time-budget=5000", "--dump-dom", frame.as_uri()
    )
    found = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    if found is None:
        pytest.fail(f"chromium left with {done.returncode} and showed nothing: {done.stderr[-400:]}")
    return json.loads(found[1])


def screenshot(tmp_path, html, target, *, width, height):
    """Keep a picture of a page; return its size."""
    path = tmp_path / "shown.html"
    path.write_text(html)
    done = _run(tmp_path, f"--window-size={width},{height}", f"--screenshot={target}", path.as_uri())
    if not target.exists():
        pytest.fail(f"chromium left with {done.returncode} and made no picture: {done.stderr[-400:]}")
    # A PNG begins with eight bytes and the chunk IHDR, in which its width and height come first.
    return struct.unpack(">II", target.read_bytes()[16:24])


def look(tmp_path, html, folder, name):
    """Measure a page and keep pictures of it, as wide as a telephone and as a desk."""
    for width in (PHONE, DESK):
        seen = measured(tmp_path, html, width=width)
        assert seen["page"] <= seen["width"] == width, f"{name}: the page runs out of a width of {width}: {seen}"
        assert seen["right"] <= width, f"{name}: a picture runs out of a width of {width}: {seen}"
        assert seen["letters"] >= 11, f"{name}: letters too small to be read: {seen}"
        assert seen["folded"] >= 1, f"{name}: the log is not folded"
        target = folder / f"{name}-{width}.png"
        target.unlink(missing_ok=True)
        assert screenshot(tmp_path, html, target, width=width, height=seen["height"]) == (width, seen["height"])

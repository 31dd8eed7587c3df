"""The page in a real browser: nothing complains, nothing sticks out, no text lies on another."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeperso.evals.report import Result
from edgeperso.evals.report.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    f"--{switch}"
    for switch in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "enable-logging=stderr",
    )
]

# The page itself may run no script, so a page around it looks into its frames.
LOOK = """
<!doctype html><meta charset="utf-8">%s<pre id="seen"></pre>
<script>
const before = (a, b) => a.right <= b.left + 1 || a.bottom <= b.top + 3;
const apart = (a, b) => before(a, b) || before(b, a);
onload = () => {
  const seen = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, style = one => frame.contentWindow.getComputedStyle(one);
    const onto = [], beyond = [], sizes = new Set();
    for (const chart of page.querySelectorAll(".chart")) {
      const box = chart.getBoundingClientRect();
      const texts = [...chart.querySelectorAll("text")].map(one => [one.textContent, one.getBoundingClientRect()]);
      texts.forEach(([text, at], place) => {
        if (at.left < box.left - 8 || at.right > box.right + 8 || at.bottom > box.bottom + 2) beyond.push(text);
        for (const [other, there] of texts.slice(0, place)) if (!apart(at, there)) onto.push(text + " on " + other);
      });
    }
    for (const one of page.querySelectorAll("body *")) sizes.add(parseFloat(style(one).fontSize));
    const root = page.documentElement;
    return {too_wide: root.scrollWidth - root.clientWidth, onto, beyond, smallest: Math.min(...sizes),
            nav: style(page.querySelector("nav")).position};
  });
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script>
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine")


def opened(path: Path, tmp_path: Path) -> tuple[str, list[str]]:
    """The page as the browser has it after loading, and what it wrote to its console."""
    assert CHROMIUM is not None
    ran = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def test_the_browser_has_nothing_to_complain_of(tmp_path: Path, results: list[Result]) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(results), encoding="utf-8")
    shown, console = opened(page, tmp_path)
    assert "Measuring again" in shown
    assert console == []


def test_the_page_lets_no_script_run(tmp_path: Path, results: list[Result]) -> None:
    """Also shows that a complaint would be seen."""
    page = tmp_path / "page.html"
    page.write_text(
        render(results).replace("</body>", "<script>document.title = 'ran'</script></body>"), encoding="utf-8"
    )
    shown, console = opened(page, tmp_path)
    assert "<title>ran</title>" not in shown
    assert any("Content Security Policy" in line for line in console)


def test_nothing_sticks_out_and_no_text_lies_on_another(tmp_path: Path, results: list[Result]) -> None:
    page = render(results)
    spoilt = page.replace("</style>", ".chart text { font-size: 24px !important } h1 { width: 2000px }</style>")
    frames = "".join(
        f'<iframe style="border:0" width="{width}" height="900" srcdoc="{html.escape(shown)}"></iframe>'
        for width, shown in ((400, page), (800, page), (1400, page), (400, spoilt))
    )
    around = tmp_path / "around.html"
    around.write_text(LOOK % frames, encoding="utf-8")
    found = re.search(r'<pre id="seen">(.*?)</pre>', opened(around, tmp_path)[0])
    assert found is not None
    *seen, last = json.loads(html.unescape(found.group(1)))
    assert len(seen) == 3
    for one in seen:
        assert one.pop("smallest") >= 11
        assert one == {"too_wide": 0, "onto": [], "beyond": [], "nav": "sticky"}
    # Where there is something to see, it is seen.
    assert last["too_wide"] > 0
    assert last["onto"]
    assert last["beyond"]

"""The page in headless Chromium: nothing overflows at phone and desktop width, by day and night.

Skipped where no ``chromium`` is installed.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from slotbench import load, report
from tests.slotbench.support import altered, profiles

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
GRID: Final = Path(__file__).parents[3] / "results/reference/grid"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"
)

PROBE: Final = """
<script>
addEventListener("load", () => {
  const width = document.documentElement.clientWidth;
  const inside = (node) => node.closest(".scroll, pre, svg, details:not([open])");
  const wide = [...document.querySelectorAll("body *")]
    .filter((node) => !inside(node) && node.getBoundingClientRect().right > width + 1)
    .map((node) => node.tagName + "." + node.className);
  const svgs = [...document.querySelectorAll("figure svg")];
  const seen = {
    width, wide: wide.slice(0, 5),
    scrolls: document.documentElement.scrollWidth > width + 1,
    pictures: svgs.length,
    empty: svgs.filter((svg) => svg.getBoundingClientRect().height < 50).length,
    columns: getComputedStyle(document.querySelector(".pictures")).gridTemplateColumns.split(" ").length,
    paper: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    texts: [...document.querySelectorAll("figure svg text")].slice(0, 50)
      .map((node) => getComputedStyle(node).fill),
    answer: document.querySelector(".answer dd").getBoundingClientRect().bottom,
  };
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
});
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the reference grid, with a script that looks at it."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    text = report.render([load(GRID).stored])
    path.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    return path


def look(page: Path, width: int, height: int, *arguments: str) -> dict[str, Any]:
    """What the script saw in a window of that size."""
    assert CHROMIUM is not None
    # A window of headless Chromium is at least 500 pixels wide; a frame can be narrower.
    frame = page.with_name(f"frame-{width}.html")
    frame.write_text(
        f'<iframe src="{page.name}" style="border:0;width:{width}px;height:{height}px"></iframe>'
        "<script>addEventListener('load', () => setTimeout(() => { const probe = "
        "frames[0].document.getElementById('probe'); document.body.append(probe); }, 0))</script>",
        encoding="utf-8",
    )
    said = subprocess.run(
        [
            *(
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ),
            *(
                "--allow-file-access-from-files",
                f"--user-data-dir={page.parent / 'profile'}",
            ),
            *("--virtual-time-budget=10000", "--dump-dom", *arguments, frame.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert 'id="probe"' in said, said[-2000:]
    found = said.partition('id="probe">')[2].partition("</pre>")[0]
    return dict(json.loads(found.replace("&gt;", ">").replace("&amp;", "&")))


@pytest.mark.parametrize(("width", "columns"), [(360, 1), (1280, 2)])
def test_nothing_overflows(width: int, columns: int, page: Path) -> None:
    """One picture beside the other where there is room; every one of them is drawn."""
    seen = look(page, width, 800)

    assert not seen["scrolls"]
    assert seen["wide"] == []
    assert seen["pictures"] >= 20
    assert seen["empty"] == 0
    assert seen["columns"] >= columns
    assert (seen["columns"] == 1) == (width == 360)


def test_the_answer_is_on_the_first_screen(page: Path) -> None:
    """Of a phone: which contender to use is read without scrolling."""
    assert look(page, 360, 740)["answer"] < 740


def test_a_dark_page_is_dark_and_its_plots_are_light(page: Path) -> None:
    """Ink follows the page: text of plots is as light as the page's own."""
    dark = look(
        page, 1280, 800, "--force-dark-mode", "--blink-settings=preferredColorScheme=0"
    )
    light = look(page, 1280, 800, "--blink-settings=preferredColorScheme=1")

    assert light["paper"] == "rgb(255, 255, 255)"
    assert dark["paper"] == "rgb(21, 24, 28)"
    assert dark["ink"] in dark["texts"]
    assert light["ink"] in light["texts"]
    assert light["ink"] not in dark["texts"]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_profile_does_not_overflow_either(width: int, tmp_path: Path) -> None:
    """With labels of any length; its plots are drawn, the answer begins on the first screen."""
    label = f"mine.module:factory[option={'0123456789' * 12}]"
    stored = altered.renamed(profiles.stored(), {"slot": label})
    path = tmp_path / "page.html"
    text = report.render([stored])
    path.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    seen = look(path, width, 800)

    assert not seen["scrolls"]
    assert seen["wide"] == []
    assert (seen["pictures"], seen["empty"]) == (2, 0)
    assert seen["answer"] < 800

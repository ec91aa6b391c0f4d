"""Make the pictures of report.md from a report, as `python docs/screenshots.py results/report.html`.

Needs playwright and a Chromium, whose path CHROMIUM holds (default: /usr/bin/chromium).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

HERE = Path(__file__).parent
SHOTS = {  # where it begins, width, height, scheme
    "report_desktop.png": ("body", 1280, 1120, "light"),
    "report_charts.png": ("#scatter", 1280, 1900, "light"),
    "report_phone.png": ("#ranks", 390, 1500, "dark"),
}


def main(report: Path) -> None:
    """Write the pictures beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
        for name, (first, width, height, scheme) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(report.resolve().as_uri())
            top = page.locator(first).bounding_box()["y"]
            clip = {"x": 0, "y": top, "width": width, "height": height}
            page.screenshot(path=HERE / name, full_page=True, clip=clip)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Opens the page of `rethink watch` in headless Chromium, works on it with the keyboard, and tells what it shows.

    watch.py ADDRESS CHROMIUM SCREENSHOTS

In the light, in the dark and in a window of 800 pixels: one JSON object each.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# How many pixels of a chart are of a colour, not of the greys of axes and ground.
INK = """id => {
  const canvas = document.querySelector('#' + id + ' canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, a] = data.slice(i, i + 4);
    count += a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60;
  }
  return count;
}"""


def main():
    address, chromium, screenshots = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, scheme, width in (
            ("watch-light", "light", 1280),
            ("watch-dark", "dark", 1280),
            ("watch-800", "light", 800),
        ):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            problems = []
            page.on("console", lambda message: problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda r: r.url.startswith(address.split("?")[0]) or problems.append(r.url))
            page.goto(address)
            page.wait_for_selector("#rows tr")
            # The run in progress is in the charts already; the other one is found and chosen with the keyboard.
            rows = page.locator("#rows tr").count()
            page.keyboard.press("/")
            page.keyboard.type("mlp random")
            filtered = page.locator("#rows tr").count()
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Space")
            page.locator("#legend li").nth(1).wait_for(timeout=10_000)
            page.wait_for_timeout(300)
            look = {
                "name": name,
                "problems": problems,
                "rows": rows,
                "filtered": filtered,
                "legend": page.locator("#legend li").count(),
                "wide": page.evaluate("document.documentElement.scrollWidth > innerWidth"),
                "ink": {id: page.evaluate(INK, id) for id in ("loss", "accuracy")},
                "ground": page.evaluate("getComputedStyle(document.body).backgroundColor"),
            }
            page.fill("#filter", "")
            page.wait_for_timeout(200)
            page.screenshot(path=Path(screenshots) / f"{name}.png", full_page=True)
            print(json.dumps(look), flush=True)
            page.close()
        browser.close()


main()

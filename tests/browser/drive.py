"""Opens notebooks in JupyterLab in headless Chromium, runs them as a reader would, and tells what the page shows.

    drive.py PLAN    PLAN is a JSON file: "address" (of JupyterLab, with its token), "kernel" (as JupyterLab shows it),
                     "chromium", "screenshots" (a folder) and "steps", each {"notebook": path below JupyterLab's root, "screenshot": name}
                     and, where it is wanted, "look": true, "edit": {"cell": n, "text": "..."}, "stop": n

A step opens a notebook and runs all its cells; with "look", it looks at what an executed notebook shows, and runs nothing. A step with an edit
changes a code cell (from 1, of those in the notebook) of the notebook that is open and runs all cells again. With "stop", the button that interrupts the kernel is pressed while code cell n
trains, as soon as its loss curve is on the page, and a screenshot of that is NAME-running. After each step one JSON object is printed: "cells" (code
cells), "executed" (those with a number), "errors" (texts), "texts" (of each code cell's outputs), "figures" and "tables" (drawn outputs of
each code cell), "pictures" (digest of each figure), "seconds".
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from playwright.sync_api import TimeoutError, sync_playwright

WIDTH, HEIGHT = 1280, 1000
# Seconds that a notebook may take, its kernel's start and its first cell's compilation included.
PATIENCE = 400
# A kernel that rests for so long, in seconds, with cells to run, has not been asked to.
LOST = 15

# What is on the page of the open notebook.
LOOK = """() => {
  const panel = [...document.querySelectorAll('.jp-NotebookPanel')].find(p => p.offsetParent !== null);
  const cells = [...panel.querySelectorAll('.jp-CodeCell')];
  const drawn = e => { const r = e.getBoundingClientRect(); return r.width > 20 && r.height > 10; };
  const whole = e => e.tagName !== 'IMG' || (e.complete && e.naturalWidth > 0);
  const outputs = (c, what) => [...c.querySelectorAll('.jp-OutputArea-output ' + what)].filter(drawn);
  const figures = c => outputs(c, 'img').concat(outputs(c, 'svg')).filter(whole);
  const errors = panel.querySelectorAll('[data-mime-type="application/vnd.jupyter.error"], ' +
                                        '[data-mime-type="application/vnd.jupyter.stderr"]');
  return {
    cells: cells.length,
    executed: cells.filter(c => /^\\[\\d+\\]:?$/.test(c.querySelector('.jp-InputPrompt').innerText.trim())).length,
    errors: [...errors].map(e => e.innerText),
    texts: cells.map(c => [...c.querySelectorAll('.jp-OutputArea-output')].map(e => e.innerText).join('\\n')),
    figures: cells.map(c => figures(c).length),
    tables: cells.map(c => outputs(c, 'table').length),
    pictures: cells.flatMap(figures).map(e => e.tagName === 'IMG' ? e.src : e.outerHTML),
    busy: panel.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status,
  };
}"""
# From its beginning: how much higher than the window the notebook is.
HIDDEN = """() => {
  const panel = [...document.querySelectorAll('.jp-NotebookPanel')].find(p => p.offsetParent !== null);
  const scrolled = [...panel.querySelectorAll('*')].filter(e => e.scrollHeight > e.clientHeight + 4 &&
      ['auto', 'scroll'].includes(getComputedStyle(e).overflowY) && e.querySelector('.jp-CodeCell'));
  scrolled.forEach(e => { e.scrollTop = 0; });
  const end = Math.max(...[...panel.querySelectorAll('.jp-Cell')].map(e => e.getBoundingClientRect().bottom));
  return Math.max(0, Math.ceil(end) + 60 - window.innerHeight);
}"""


def run_all(page):
    """By the menu. A page or a kernel that has only just come up may not take it: then again."""
    first = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .jp-InputPrompt").first
    before = first.inner_text()
    for _ in range(8):
        if first.inner_text() != before:
            return
        try:
            page.get_by_role("menuitem", name="Run", exact=True).click(timeout=5_000)
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click(timeout=5_000)
        except TimeoutError:
            # A menu that has closed under the pointer, a question before the page: away with it.
            page.keyboard.press("Escape")
            continue
        for _ in range(50):
            if first.inner_text() != before:
                return
            time.sleep(0.1)
    raise RuntimeError("the menu's Run All Cells runs nothing")


def finished(page, before):
    """Until the kernel has rested, with every cell executed in this round, for a second. Where it rests and cells are
    left (JupyterLab can lose the requests that it makes while a kernel connects), all are run again."""
    started, quiet, resting, again = time.monotonic(), None, None, 0
    while True:
        seen = page.evaluate(LOOK)
        done = seen["busy"] == "idle" and seen["executed"] == seen["cells"] and counts(page) > before
        quiet = (quiet or time.monotonic()) if done or seen["errors"] else None
        if quiet and time.monotonic() - quiet > 1:
            return seen
        resting = (resting or time.monotonic()) if seen["busy"] == "idle" and not quiet else None
        if resting and time.monotonic() - resting > LOST and again < 3:
            resting, again = None, again + 1
            print(json.dumps({"again": again}), file=sys.stderr, flush=True)
            run_all(page)
        if time.monotonic() - started > PATIENCE:
            return seen
        time.sleep(0.2)


def shown(page):
    """What the page shows as soon as that stays the same."""
    started, last = time.monotonic(), None
    while True:
        time.sleep(0.5)
        seen = page.evaluate(LOOK)
        same = last and all(seen[what] == last[what] for what in ("executed", "errors", "figures", "tables", "pictures"))
        if (same and sum(seen["figures"] + seen["tables"])) or time.monotonic() - started > PATIENCE:
            return seen
        last = seen


def stop(page, number, screenshot):
    """Interrupts code cell `number`, once its loss curve has grown a little."""
    started = time.monotonic()
    while not page.evaluate(LOOK)["figures"][number - 1]:
        if time.monotonic() - started > PATIENCE:
            raise RuntimeError("no loss curve on the page")
        time.sleep(0.1)
    time.sleep(3)
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").nth(number - 1).scroll_into_view_if_needed()
    page.screenshot(path=screenshot)
    running = page.evaluate(LOOK)
    page.locator('[data-command="notebook:interrupt-kernel"]:visible').first.click()
    return running["texts"][number - 1]


def counts(page):
    """The sum of the cells' numbers: it rises when all of them run again."""
    prompts = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .jp-InputPrompt").all_inner_texts()
    return sum(int("".join(c for c in text if c.isdigit()) or 0) for text in prompts)


def edit(page, number, text):
    cell = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").nth(number - 1)
    editor = cell.locator(".cm-content")
    editor.scroll_into_view_if_needed()
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def main():
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    address = urlsplit(plan["address"])
    token = parse_qs(address.query)["token"][0]
    base = f"{address.scheme}://{address.netloc}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=plan["chromium"], args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        # Leaving a notebook that is not saved: yes.
        page.on("dialog", lambda dialog: dialog.accept())
        for step in plan["steps"]:
            started = time.monotonic()
            before = 0
            if step.get("edit"):
                before = counts(page)
                edit(page, step["edit"]["cell"], step["edit"]["text"])
            else:
                # Kernels in turns: the machine may be small.
                for session in page.request.get(f"{base}/api/sessions?token={token}").json():
                    page.request.delete(f"{base}/api/sessions/{session['id']}", params={"token": token})
                page.goto(f"{base}/lab/tree/{quote(step['notebook'])}?token={token}&reset")
                page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
            running = None
            if step.get("look"):
                seen = shown(page)
            else:
                # The notebook's own sign says "idle" before there is a kernel; the status bar names it.
                page.get_by_text(plan["kernel"] + " | Idle").wait_for(timeout=180_000)
                try:
                    run_all(page)
                except Exception:
                    page.screenshot(path=Path(plan["screenshots"]) / (step["screenshot"] + "-failed.png"))
                    raise
                if step.get("stop"):
                    path = Path(plan["screenshots"]) / (step["screenshot"] + "-running.png")
                    running = stop(page, step["stop"], path)
                seen = finished(page, before)
            seen["running"] = running
            seen["seconds"] = round(time.monotonic() - started, 1)
            seen["pictures"] = [hashlib.sha256(p.encode()).hexdigest() for p in seen["pictures"]]
            page.set_viewport_size({"width": WIDTH, "height": min(HEIGHT + page.evaluate(HIDDEN), 15_000)})
            page.evaluate(HIDDEN)
            time.sleep(0.5)
            path = Path(plan["screenshots"]) / (step["screenshot"] + ".png")
            page.screenshot(path=path)
            page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            print(json.dumps(seen), flush=True)
        browser.close()


main()

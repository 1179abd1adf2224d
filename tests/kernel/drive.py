"""Drives the notebook kernel as JupyterLab does, and prints what came of it, one JSON object a line.

    drive.py KERNEL CRATE [SCENARIO ...]

CRATE is the folder of the crate `rethink`. Each scenario is a function below; all run in one kernel, as far as they leave it whole.
An object: {"scenario": "...", "seconds": 1.2, ...what it found}.
"""

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty

from jupyter_client.manager import KernelManager

KERNEL, CRATE = sys.argv[1], sys.argv[2]
LIMIT = 300
OUT = tempfile.mkdtemp(prefix="rethink-test-")


class Kernel:
    def __init__(self):
        self.manager = KernelManager(kernel_name=KERNEL)
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT)
        self.messages = {}
        self.replies = {}

    def send(self, code, **how):
        request = self.client.execute(code, **how)
        self.messages[request] = []
        return request

    def take(self, timeout=0.1):
        """What has come by now, put to its requests."""
        try:
            while True:
                message = self.client.get_iopub_msg(timeout=timeout)
                timeout = 0
                parent = message["parent_header"].get("msg_id")
                self.messages.setdefault(parent, []).append((time.monotonic(), message))
        except Empty:
            pass
        try:
            while True:
                reply = self.client.get_shell_msg(timeout=0)
                self.replies[reply["parent_header"].get("msg_id")] = reply["content"]
        except Empty:
            pass

    def until(self, true, limit=LIMIT):
        end = time.monotonic() + limit
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"{limit} s")
            self.take()

    def idle(self, request):
        return request in self.replies and any(
            m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"
            for _, m in self.messages[request]
        )

    def run(self, code, limit=LIMIT, **how):
        request = self.send(code, **how)
        self.until(lambda: self.idle(request), limit)
        return request

    def text(self, request, name="stdout"):
        return "".join(
            m["content"]["text"]
            for _, m in self.messages[request]
            if m["msg_type"] == "stream" and m["content"]["name"] == name
        )

    def of(self, request, *kinds):
        return [m["content"] for _, m in self.messages[request] if m["msg_type"] in kinds]

    def error(self, request):
        errors = self.of(request, "error")
        return "\n".join(e["evalue"] for e in errors)

    def status(self, request):
        return self.replies[request]["status"]

    def interrupt(self):
        self.manager.interrupt_kernel()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


DEP = f':dep rethink = {{ path = "{CRATE}" }}\nuse rethink::prelude::*;'
STUDY = (
    'let study: Study = Study::new(Some("shapes10"), Scale::Smoke, "OUT")?;\n'
    "let mut kept: Vec<i32> = vec![1, 2, 3];"
)
# Some minutes of training.
LONG = (
    'let mut long: Vec<RunConfig> = study.configs("fig1a")?; long.truncate(2);\n'
    "for run in &mut long { run.hyper.epochs = EPOCHS; run.hyper.keep_going(); }"
)


def starts(kernel):
    first = kernel.run(DEP)
    second = kernel.run(STUDY.replace("OUT", OUT))
    counts = [kernel.replies[first]["execution_count"], kernel.of(second, "execute_input")[0]["execution_count"]]
    return {"errors": kernel.error(first) + kernel.error(second), "said": kernel.text(second, "stderr"), "counts": counts}


def an_idle_kernel_is_interrupted(kernel):
    before = kernel.run("kept.push(4);")
    kernel.interrupt()
    time.sleep(0.5)
    after = kernel.run('println!("{kept:?}");')
    return {"statuses": [kernel.status(before), kernel.status(after)], "said": kernel.text(after)}


def an_unfinished_line_is_seen(kernel):
    begun = time.monotonic()
    request = kernel.send(
        "use std::io::Write;\n"
        'for i in 0..4 { print!("{} %\\r", 25 * i); std::io::stdout().flush()?;'
        " std::thread::sleep(std::time::Duration::from_millis(400)); }\n"
        'print!("100 %"); std::io::stdout().flush()?;'
    )
    kernel.until(lambda: kernel.idle(request))
    parts = [m["content"]["text"] for _, m in kernel.messages[request] if m["msg_type"] == "stream"]
    after = kernel.run('println!("goes on");', 60)
    return {"parts": parts, "waited": time.monotonic() - begun, "after": kernel.text(after)}


def a_panic_stops_what_is_queued(kernel):
    sources = ['println!("one");', 'let empty: Vec<i32> = vec![];\nlet first: i32 = empty[kept.len()];', 'println!("two");']
    requests = [kernel.send(source) for source in sources]
    kernel.until(lambda: all(kernel.idle(r) for r in requests))
    after = kernel.run('println!("{kept:?}");')
    failure = kernel.of(requests[1], "error")
    return {
        "statuses": [kernel.status(r) for r in requests],
        "error": failure,
        "reply": kernel.replies[requests[1]],
        "stderr": kernel.text(requests[1], "stderr"),
        "after": kernel.text(after),
    }


def an_error_is_an_error(kernel):
    request = kernel.send('eprintln!("no error");\nstudy.configs("fig9")?;')
    queued = kernel.send('println!("not run");')
    kernel.until(lambda: kernel.idle(request) and kernel.idle(queued))
    foreign = kernel.run('let path: &str = "/nowhere";\nlet text: String = std::fs::read_to_string(path)?;')
    told = kernel.run('eprintln!("error: thread main panicked, EVCXR_PANIC_NOTIFICATION");')
    return {
        "statuses": [kernel.status(r) for r in (request, queued, told)],
        "error": kernel.of(request, "error"),
        "foreign": kernel.of(foreign, "error"),
        "stderr": kernel.text(request, "stderr"),
    }


def a_cell_runs_that_is_asked_for_when_the_failed_one_is_idle(kernel):
    """As a script does that waits for a failed cell's end on the IOPub channel alone."""
    statuses = []
    for _ in range(8):
        failed = kernel.send('std::fs::read_to_string("/nowhere")?;')
        while True:
            message = kernel.client.get_iopub_msg(timeout=LIMIT)
            of_it = message["parent_header"].get("msg_id") == failed
            if of_it and message["content"].get("execution_state") == "idle":
                break
        after = kernel.send("kept.len()")
        kernel.until(lambda: after in kernel.replies and failed in kernel.replies)
        statuses.append([kernel.status(failed), kernel.status(after)])
    return {"statuses": statuses}


def values_are_shown_within_a_cell(kernel):
    request = kernel.run(
        'let frame: DataFrame = DataFrame::empty();\ndisplay(&frame)?;\nprintln!("between");\ndisplay(&frame)?;\nframe'
    )
    order = [m["msg_type"] for _, m in kernel.messages[request] if m["msg_type"] not in ("status", "execute_input")]
    shown = kernel.of(request, "display_data", "execute_result")
    # As evcxr has it: of one kind, it would keep the last.
    show = lambda text: f'println!("EVCXR_BEGIN_CONTENT text/html\\n<b>{text}</b>\\nEVCXR_END_CONTENT");'
    several = kernel.run("\n".join(map(show, ["one", "two", "three"])))
    values = kernel.of(several, "display_data", "execute_result")
    return {
        "order": order,
        "kinds": [sorted(s["data"]) for s in shown],
        "several": ["".join(value["data"].get("text/html", "")).strip() for value in values],
        "error": kernel.error(request) + kernel.error(several),
    }


def cells_share_one_library(kernel):
    """Number of copies of the libraries that the process has loaded, and bytes of the largest cell's own library."""
    for _ in range(2):
        request = kernel.run(
            '{ let maps = std::fs::read_to_string("/proc/self/maps")?;\n'
            'let of = |line: &&str, what: &str| line.contains(what) && line.contains(" r-xp ");\n'
            'let cells: Vec<&str> = maps.lines().filter(|l| of(l, "libcode_")).filter_map(|l| l.split_whitespace().last()).collect();\n'
            "let largest = cells.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|m| m.len()).max().unwrap_or(0);\n"
            'println!("{} {} {}", maps.lines().filter(|l| of(l, "rethink_cells_")).count(), cells.len(), largest); }'
        )
    copies, cells, largest = map(int, (kernel.text(request) or "0 0 0").split())
    return {"copies": copies, "cells": cells, "largest": largest, "error": kernel.error(request)}


def names_are_completed_and_explained(kernel):
    """What Tab gives at the end of each text, and the first words of what Shift-Tab gives at its `|`."""
    asked = lambda how, code, at: how(code, at, reply=True, timeout=LIMIT)["content"]
    kernel.run("use plotters::prelude::*;\nlet frame: DataFrame = DataFrame::default();")
    texts = ["study.config", "frame.colu", "let red = BLUE.mi", "ChartBu"]
    # Where the type of what is asked for is known from what is around it.
    texts += ["study.config(ModelK", "frame.clone().lazy().filter(co", "frame.group_by([co", "Chart::new(&fra", "let m: ModelKind = ModelKi",
              "let a: f64 = ", "if fra", "let m: ModelKind = ModelKind::Al", "Study::of(stu", "RunConfig { model: ModelK"]
    places = ['study.ru|ns("fig1a")', 'study.runs("fig|1a")', "Chart|Builder::on(&root)", "frame.column|", 'frame.column(&name("x"), |']
    explained = {}
    for text in places:
        data = asked(kernel.client.inspect, text.replace("|", ""), text.index("|"))["data"]
        explained[text] = data.get("text/plain", "")
    # As JupyterLab asks of a name in its list: beyond the end of the code.
    beyond = asked(kernel.client.inspect, "select_impl", 14).get("status")
    completed = {text: asked(kernel.client.complete, text, len(text)) for text in texts}
    return {
        "completed": {text: reply.get("matches", reply) for text, reply in completed.items()},
        "put_in": {
            text: [kind["text"] for kind in reply["metadata"]["_jupyter_types_experimental"]]
            for text, reply in completed.items()
        },
        "replaced": {text: text[reply.get("cursor_start", 0) : reply.get("cursor_end", 0)] for text, reply in completed.items()},
        "explained": explained,
        "beyond": beyond,
        "lives": kernel.text(kernel.run('println!("{}", 1 + 1);')),
    }


def a_report_of_the_compiler(kernel):
    request = kernel.run("let twice: Vec<i32> = kept.clone();\nlet wrong: RunConfig = study;\nlet again: RunConfig = study;")
    reports = kernel.of(request, "error")
    plain = ["\n".join(re.sub(r"\x1b\[[0-9;]*m", "", line) for line in one["traceback"]) for one in reports]
    return {"reports": plain, "status": kernel.status(request)}


def cells_are_compiled_as_the_last_one(kernel):
    """What a cell says that is compiled by a noted call with one option more; whether a noted call that is wrong is made anew; and
    what a cell says of a crate on this machine before and after an edit."""
    own = Path(kernel.text(kernel.run('println!("{}", std::env::var("EVCXR_TMPDIR")?);')).strip())
    [noted] = (own.parent / "known").glob(f"call-{(own / 'mirror' / 'known').read_text()}-*")
    call = noted.read_text()
    noted.write_text(call.rstrip("\n") + " --cfg noted_call\n")
    used = kernel.text(kernel.run('println!("{}", cfg!(noted_call));'))
    noted.write_text(call.split("\n")[0] + "\n--crate-name ctx --no-such-option\n")
    wrong = kernel.run('println!("{}", cfg!(noted_call));')
    noted.write_text(call.replace(" --extern rethink=", " --extern rethink=/nowhere"))
    gone = kernel.run('println!("{}", cfg!(noted_call));')
    after = noted.read_text()
    crate = Path(OUT, "noticed")
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text('[package]\nname = "noticed"\nversion = "1.0.0"\nedition = "2024"\n')
    said = []
    for number in (1, 2):
        (crate / "src" / "lib.rs").write_text(f"pub fn number() -> u32 {{ {number} }}\n")
        dep = f':dep noticed = {{ path = "{crate}" }}\n' if number == 1 else ""
        request = kernel.run(dep + 'println!("{}", noticed::number());')
        said.append(kernel.text(request) + kernel.error(request))
    return {
        "used": used,
        "wrong": kernel.text(wrong) + kernel.error(wrong),
        "gone": kernel.text(gone) + kernel.error(gone),
        "mended": after == call,
        "edited": said,
        "variables": kernel.text(kernel.run('println!("{kept:?}");')),
    }


def training_is_interrupted_and_goes_on(kernel):
    kernel.run(LONG.replace("EPOCHS", "2000"))
    # The second call begins after the interrupt.
    request = kernel.send(
        "let mut partly: Vec<Run> = study.train(&long)?;\npartly.extend(study.train(&long[1..])?);"
    )
    lines = lambda r: [m["data"].get("text/plain", "") for m in kernel.of(r, "update_display_data")]
    curves = lambda: sum("image/svg+xml" in m["data"] for m in kernel.of(request, "display_data", "update_display_data"))
    # Until a curve has been drawn, and drawn again.
    kernel.until(lambda: curves() > 1)
    pressed = time.monotonic()
    kernel.interrupt()
    kernel.until(lambda: kernel.idle(request))
    waited = time.monotonic() - pressed
    seen = kernel.run('println!("{kept:?} {} {}", partly.len(), partly[0].record.ended());\nprintln!("{}", partly[0].frame.height());')
    again = kernel.send("let partly: Vec<Run> = study.train(&long)?;")
    kernel.until(lambda: len(lines(again)) > 2 or kernel.idle(again))
    kernel.interrupt()
    kernel.until(lambda: kernel.idle(again))
    return {
        "status": kernel.status(request),
        "said": kernel.text(request),
        "waited": waited,
        "lines": lines(request),
        "curves": curves(),
        "seen": kernel.text(seen),
        "again": kernel.text(again),
        "error": kernel.error(request) + kernel.error(seen) + kernel.error(again),
    }


def training_ends_as_without_interrupts(kernel):
    kernel.run(
        "let mut one: RunConfig = study.config(ModelKind::Mlp1x512, Corruption::RandomLabels);\n"
        "one.hyper.epochs = 400; one.hyper.keep_going();\n"
        "let ends: Vec<RunConfig> = vec![one];"
    )
    times = 0
    while True:
        request = kernel.send("let ended: Vec<Run> = study.train(&ends)?;")
        begun = time.monotonic()
        # The last time, until it ends.
        limit = 2.5 if times < 4 else LIMIT
        kernel.until(lambda: kernel.idle(request) or time.monotonic() - begun > limit)
        if kernel.idle(request):
            break
        kernel.interrupt()
        kernel.until(lambda: kernel.idle(request))
        times += 1
    show = 'println!("{} {} {}", NAME[0].record.ended(), NAME[0].record.epochs, NAME[0].record.digest);'
    one = kernel.run(show.replace("NAME", "ended"))
    kernel.run(
        'let other: Study = Study::new(Some("shapes10"), Scale::Smoke, study.out.join("apart"))?;\n'
        "let whole: Vec<Run> = other.train(&ends)?;"
    )
    two = kernel.run(show.replace("NAME", "whole"))
    return {"interrupts": times, "one": kernel.text(one), "two": kernel.text(two), "error": kernel.error(request) + kernel.error(two)}


def a_measurement_is_interrupted(kernel):
    kernel.run(
        'let mut plan: Vec<Measurement> = study.plan("table3")?;\n'
        'let bigger: Study = Study::new(Some("shapes10"), Scale::Paper, study.out.clone())?;\n'
        'let plan: Vec<Measurement> = bigger.plan("table3")?;'
    )
    request = kernel.send("let measured: Vec<Measured> = bigger.measure(&plan)?;")
    begun = time.monotonic()
    kernel.until(lambda: kernel.of(request, "execute_input") and time.monotonic() - begun > 6 or kernel.idle(request))
    pressed = time.monotonic()
    kernel.interrupt()
    kernel.until(lambda: kernel.idle(request), 120)
    waited = time.monotonic() - pressed
    after = kernel.run('println!("{kept:?}");')
    return {"status": kernel.status(request), "error": kernel.error(request), "waited": waited, "after": kernel.text(after)}


def a_compilation_is_interrupted(kernel):
    # A crate that no cell has, and that takes some seconds.
    request = kernel.send(':dep faer = "=0.24.4"\nuse faer::Mat;\nlet m = Mat::<f64>::zeros(2, 2); println!("{}", m.nrows());')
    begun = time.monotonic()
    kernel.until(lambda: kernel.idle(request) or time.monotonic() - begun > 1.5, 60)
    kernel.interrupt()
    kernel.until(lambda: kernel.idle(request))
    waited = time.monotonic() - begun
    after = kernel.run('println!("{kept:?}");')
    return {"status": kernel.status(request), "error": kernel.error(request), "waited": waited, "after": kernel.text(after),
            "trouble": kernel.error(after)}


def an_endless_loop_ends_at_an_interrupt(kernel):
    request = kernel.send('println!("begun"); let mut turns: u64 = 0; loop { turns = turns.wrapping_add(std::hint::black_box(1)); }')
    kernel.until(lambda: "begun" in kernel.text(request))
    kernel.interrupt()
    kernel.until(lambda: kernel.idle(request))
    after = kernel.run('println!("alive");')
    lost = kernel.run('println!("{kept:?}");')
    return {
        "status": kernel.status(request),
        "error": kernel.error(request),
        "after": kernel.text(after),
        "lost": kernel.error(lost),
    }


def a_second_interrupt_ends_the_process(kernel):
    kernel.run(STUDY.replace("OUT", OUT))
    request = kernel.send('let none: Vec<Run> = study.train(&[])?; println!("begun"); loop { std::hint::black_box(none.len()); }')
    kernel.until(lambda: "begun" in kernel.text(request))
    kernel.interrupt()
    time.sleep(2)
    kernel.take()
    first = kernel.idle(request)
    kernel.interrupt()
    kernel.until(lambda: kernel.idle(request))
    after = kernel.run('println!("alive");')
    return {"ended_at_first": first, "error": kernel.error(request), "after": kernel.text(after)}


ALL = [
    starts,
    an_idle_kernel_is_interrupted,
    an_unfinished_line_is_seen,
    a_panic_stops_what_is_queued,
    an_error_is_an_error,
    a_cell_runs_that_is_asked_for_when_the_failed_one_is_idle,
    values_are_shown_within_a_cell,
    cells_share_one_library,
    names_are_completed_and_explained,
    a_report_of_the_compiler,
    cells_are_compiled_as_the_last_one,
    training_is_interrupted_and_goes_on,
    training_ends_as_without_interrupts,
    a_measurement_is_interrupted,
    a_compilation_is_interrupted,
    an_endless_loop_ends_at_an_interrupt,
    a_second_interrupt_ends_the_process,
]


def main():
    wanted = sys.argv[3:]
    kernel = Kernel()
    try:
        for scenario in ALL:
            if wanted and scenario.__name__ not in wanted and scenario is not starts:
                continue
            begun = time.monotonic()
            try:
                found = scenario(kernel)
            except Exception as error:
                found = {"failed": f"{type(error).__name__}: {error}"}
            print(json.dumps({"scenario": scenario.__name__, "seconds": time.monotonic() - begun, **found}), flush=True)
    finally:
        kernel.close()
        shutil.rmtree(OUT, ignore_errors=True)


main()

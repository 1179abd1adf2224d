"""Runs one notebook and tells how it goes, one JSON object a line on standard output.

    run.py NOTEBOOK COPY KERNEL [RECORD]

The notebook runs in its own folder; COPY gets the executed notebook, whole or not at all. RECORD is a JSON object:
with it the notebook runs in COPY's folder, COPY begins with a cell that sets RECORD's parameters, and its metadata
says what was run, when, and how long each cell took. Objects:
    {"cell": 3, "of": 8, "source": "first line"}    a code cell starts
    {"line": "..."}                                 the kernel printed a line
    {"failed": "...", "cell": 3, "source": "..."}   the end, exit status 1
    {"done": true}                                  the end

A cell that fails, or writes to standard error, stops the notebook there; and so does a kernel that says nothing and uses no
processor time for RETHINK_SILENT seconds (600 where unset): it would never end.

Standard input is a pipe that the caller holds open: when it ends early, the caller was killed, and the kernel is, too.
"""

import asyncio
import json
import os
import re
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from queue import Empty

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import ensure_async

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Jupyter chooses a kernel's ports, and another process can take one before the kernel does.
STARTS = 4
# Of a cell that does not load the crate, standard error travels apart from the answer; this long after it, it is waited for, in seconds.
LATE, LATE_AT_END = 0.3, 1.0
# Seconds of silence after which a kernel that does nothing is given up, between two looks, and of processor time between
# them below which it does nothing.
SILENT = float(os.environ.get("RETHINK_SILENT") or 600)
LOOK = min(5.0, SILENT / 4)
NOTHING = 0.02 * LOOK
DEPENDENCY = re.compile(r'^(\s*:dep\s.*\bpath\s*=\s*")([^"]+)(")', re.MULTILINE)
# A variable whose type evcxr has to find: for some it needs the standard library's sources (launch.py).
UNTYPED = re.compile(r"^let\s[^:=\n]*=", re.MULTILINE)
BACKTRACE = re.compile(r"^(stack backtrace:|\s+\d+: |\s+at |note: )")


def say(**what):
    print(json.dumps(what), flush=True)


def clean(text):
    """Without colours, backtraces and empty lines."""
    lines = (line.rstrip() for line in ANSI.sub("", text).splitlines())
    return "\n".join(line for line in lines if line and not BACKTRACE.match(line))


class Runner(NotebookClient):
    """Reports each cell and each printed line; fails on what evcxr writes to standard error."""

    number = 0
    record = None
    heard = time.monotonic()
    given_up = False

    async def async_start_new_kernel_client(self):
        for start in range(STARTS):
            try:
                return await super().async_start_new_kernel_client()
            except RuntimeError as error:
                if "died" not in str(error) or start + 1 == STARTS:
                    raise
                self.create_kernel_manager()
                await self.async_start_new_kernel()

    def begin(self, cell, cell_index):
        self.heard = time.monotonic()
        self.started = now()
        if self.record and self.record["tag"] in cell.metadata.get("tags", []):
            self.source = "the parameters"
            return
        self.number += 1
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        self.source = first.strip()
        say(cell=self.number, of=self.count, source=self.source)

    def process_message(self, msg, cell, cell_index):
        self.heard = time.monotonic()
        if msg["msg_type"] == "stream" and msg["content"]["name"] == "stdout":
            for line in msg["content"]["text"].splitlines():
                say(line=line)
        return super().process_message(msg, cell, cell_index)

    async def end(self, cell, cell_index, execute_reply):
        if self.record:
            cell.metadata["rethink"] = span(self.started)
        wait = LATE if self.number < self.count else LATE_AT_END
        # relay.py says whether all is there.
        while not execute_reply["metadata"].get("whole"):
            try:
                late = await ensure_async(self.kc.iopub_channel.get_msg(timeout=wait))
            except Empty:
                break
            if late["msg_type"] == "stream":
                self.process_message(late, cell, cell_index)
        # nbclient lets such a cell fail, and goes on.
        if "raises-exception" in cell.metadata.get("tags", []):
            return
        errors = [o for o in cell.outputs if o.output_type == "error"]
        if errors:
            # evcxr draws the error below the source line; one without a place has its text alone.
            raise CellFailed("\n".join(clean("\n".join(e.traceback) or e.evalue) for e in errors))
        said = clean("".join(o.text for o in cell.outputs if o.get("name") == "stderr"))
        if said:
            raise CellFailed(said)


def end_with_the_caller(runner):
    """Ends this process and the kernel, in its own session, when standard input does."""
    # Not `sys.stdin`, whose lock would be held when this process ends.
    os.read(0, 1)
    if runner.km and runner.km.provisioner:
        asyncio.run(runner.km.provisioner.kill())
    os._exit(1)


def busy_seconds(kernel):
    """Processor time so far of the kernel's session, in seconds; None where the system does not tell."""
    total, tick = 0, os.sysconf("SC_CLK_TCK")
    try:
        entries = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return None
    for entry in entries:
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                words = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # Session; time of the process and of its children that have ended, in user mode and in the system.
        if int(words[3]) == kernel:
            total += sum(map(int, words[11:15]))
    return total / tick


def give_up_silence(runner):
    """Ends a kernel that has said nothing, and done nothing, for so long that it will not."""
    before = None
    while True:
        time.sleep(LOOK)
        kernel = getattr(runner.km and runner.km.provisioner, "pid", None)
        now = kernel and busy_seconds(kernel)
        if now is None or before is None or now - before > NOTHING:
            runner.heard = max(runner.heard, time.monotonic())
        before = now
        if time.monotonic() - runner.heard > SILENT:
            runner.given_up = True
            asyncio.run(runner.km.provisioner.kill())
            return


class CellFailed(Exception):
    pass


def now():
    return datetime.now(timezone.utc)


def span(started):
    """As papermill names them."""
    ended = now()
    return {
        "start_time": started.isoformat(),
        "end_time": ended.isoformat(),
        "duration": round((ended - started).total_seconds(), 3),
    }


def prepare(notebook, record, source, copy):
    """Puts the parameters first, and makes relative paths of dependencies lead from COPY's folder."""
    root = Path(record["root"]).resolve()

    def lead(match):
        target = (source.parent / match[2]).resolve()
        if copy.is_relative_to(root) and target.is_relative_to(root):
            path = Path(os.path.relpath(target, copy.parent)).as_posix()
        else:
            path = str(target)
        return match[1] + path.replace("\\", "\\\\") + match[3]

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = DEPENDENCY.sub(lead, cell.source)
    lines = ["// What this copy was executed with. The restart lets cells see it; nothing has run before."]
    lines += [f":env {name}={value}" for name, value in record["parameters"].items()]
    cell = nbformat.v4.new_code_cell("\n".join(lines + [":restart"]), metadata={"tags": [record["tag"]]})
    cell["id"] = record["tag"]
    notebook.cells.insert(0, cell)


def write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.partial")
    nbformat.write(notebook, part)
    os.replace(part, path)


def main():
    source, copy, kernel = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    record = json.loads(sys.argv[4]) if len(sys.argv) > 4 else None
    started = now()
    failed = copy.with_name(copy.stem + ".failed.ipynb")
    for old in (copy, failed):
        old.unlink(missing_ok=True)
    try:
        notebook = nbformat.read(source, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        say(failed=f"not a notebook: {type(error).__name__}: {error}")
        sys.exit(1)
    count = sum(c.cell_type == "code" and bool(c.source.strip()) for c in notebook.cells)
    folder = source.parent
    if record:
        folder = copy.parent.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        prepare(notebook, record, source.resolve(), folder / copy.name)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    os.environ.setdefault("RETHINK_KERNEL_STD", "1" if UNTYPED.search(code) else "0")
    runner = Runner(
        notebook,
        kernel_name=kernel,
        timeout=None,
        startup_timeout=600,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    runner.count, runner.record = count, record
    threading.Thread(target=end_with_the_caller, args=[runner], daemon=True).start()
    threading.Thread(target=give_up_silence, args=[runner], daemon=True).start()

    def finish(path, failed=None):
        if record:
            about = {k: v for k, v in record.items() if k not in ("tag", "root")}
            about.update(span(started), input_path=str(source), exception=failed)
            notebook.metadata["rethink"] = about
        write(notebook, path)

    runner.on_cell_execute = runner.begin
    runner.on_cell_executed = runner.end
    try:
        runner.execute()
    except (CellFailed, CellExecutionError, DeadKernelError) as error:
        problem = str(error) if isinstance(error, CellFailed) else f"the kernel died ({error})"
        if runner.given_up:
            problem = f"the kernel said nothing and did nothing for {SILENT:.0f} s, and was ended"
        finish(failed, problem)
        say(failed=problem, cell=runner.number, source=runner.source, copy=str(failed))
        sys.exit(1)
    except (RuntimeError, NoSuchKernel) as error:
        say(failed=f"the kernel did not start: {error}")
        sys.exit(1)
    finish(copy)
    say(done=True)


main()

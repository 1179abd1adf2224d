"""Runs one notebook and tells how it goes, one JSON object a line on standard output.

    run.py NOTEBOOK COPY KERNEL

The notebook runs in its own folder; COPY gets the executed notebook, whole or not at all. Objects:
    {"cell": 3, "of": 8, "source": "first line"}    a code cell starts
    {"line": "..."}                                 the kernel printed a line
    {"failed": "...", "cell": 3, "source": "..."}   the end, exit status 1
    {"done": true}                                  the end

evcxr answers "ok" after a panic and after a `?` that returned an error: it only writes them to the
cell's standard error. So a cell that writes to standard error has failed, and the notebook stops there.
"""

import json
import os
import re
import sys
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
# Standard error travels apart from a cell's answer; this long after it, it is waited for, in seconds.
LATE, LATE_AT_END = 0.3, 1.0
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
        self.number += 1
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        self.source = first.strip()
        say(cell=self.number, of=self.count, source=self.source)

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] == "stream" and msg["content"]["name"] == "stdout":
            for line in msg["content"]["text"].splitlines():
                say(line=line)
        return super().process_message(msg, cell, cell_index)

    async def end(self, cell, cell_index, execute_reply):
        wait = LATE if self.number < self.count else LATE_AT_END
        while True:
            try:
                late = await ensure_async(self.kc.iopub_channel.get_msg(timeout=wait))
            except Empty:
                break
            if late["msg_type"] == "stream":
                self.process_message(late, cell, cell_index)
        errors = [o for o in cell.outputs if o.output_type == "error"]
        if errors:
            # evcxr draws the error below the source line; one without a place has its text alone.
            raise CellFailed("\n".join(clean("\n".join(e.traceback) or e.evalue) for e in errors))
        said = clean("".join(o.text for o in cell.outputs if o.get("name") == "stderr"))
        if said:
            raise CellFailed(said)


class CellFailed(Exception):
    pass


def write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.partial")
    nbformat.write(notebook, part)
    os.replace(part, path)


def main():
    source, copy, kernel = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    failed = copy.with_name(copy.stem + ".failed.ipynb")
    for old in (copy, failed):
        old.unlink(missing_ok=True)
    try:
        notebook = nbformat.read(source, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        say(failed=f"not a notebook: {type(error).__name__}: {error}")
        sys.exit(1)
    runner = Runner(
        notebook,
        kernel_name=kernel,
        timeout=None,
        startup_timeout=600,
        coalesce_streams=True,
        resources={"metadata": {"path": str(source.parent)}},
    )
    runner.count = sum(c.cell_type == "code" and bool(c.source.strip()) for c in notebook.cells)
    runner.on_cell_execute = runner.begin
    runner.on_cell_executed = runner.end
    try:
        runner.execute()
    except (CellFailed, CellExecutionError, DeadKernelError) as error:
        problem = str(error) if isinstance(error, CellFailed) else f"the kernel died ({error})"
        write(notebook, failed)
        say(failed=problem, cell=runner.number, source=runner.source, copy=str(failed))
        sys.exit(1)
    except (RuntimeError, NoSuchKernel) as error:
        say(failed=f"the kernel did not start: {error}")
        sys.exit(1)
    write(notebook, copy)
    say(done=True)


main()

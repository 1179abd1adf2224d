"""Times a notebook's cells in kernels in turns, one JSON object a line on standard output.

    notebooks.py NOTEBOOK ROUNDS KERNEL [KERNEL ...]

Round 0 of each kernel is its first: what it has to compile, it compiles there. Objects:
    {"kernel": "...", "round": 1, "start": 4.2, "cells": [{"seconds": 9.1, "figure": false}, ...]}
    {"failed": "..."}
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager


def run(kernel, cells, folder):
    begun = time.monotonic()
    manager = KernelManager(kernel_name=kernel)
    # What the kernel says at its start is no answer of this program.
    manager.start_kernel(cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=600)
        start, times = time.monotonic() - begun, []
        for source in cells:
            outputs = []
            begun = time.monotonic()
            reply = client.execute_interactive(source, output_hook=outputs.append, timeout=3600)
            seconds = time.monotonic() - begun
            said = "".join(o["content"]["text"] for o in outputs if o["content"].get("name") == "stderr")
            if reply["content"]["status"] != "ok" or "error" in [o["msg_type"] for o in outputs]:
                errors = [o["content"].get("evalue", "") for o in outputs if o["msg_type"] == "error"]
                raise RuntimeError(f"{kernel}: {source}: {errors or reply['content']}")
            # cargo's progress is no error; what a cell says is.
            if "panicked" in said or said.startswith("Error"):
                raise RuntimeError(f"{kernel}: {source}: {said}")
            kinds = [kind for o in outputs for kind in o["content"].get("data", {})]
            times.append({"seconds": seconds, "figure": any(kind.startswith("image/") for kind in kinds)})
        return start, times
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main():
    notebook, rounds, kernels = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    cells = [c.source for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"]
    for number in range(rounds + 1):
        for kernel in kernels:
            try:
                start, times = run(kernel, cells, str(notebook.parent))
            except Exception as error:
                print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), flush=True)
                sys.exit(1)
            print(json.dumps({"kernel": kernel, "round": number, "start": start, "cells": times}), flush=True)


main()

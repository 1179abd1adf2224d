#!/usr/bin/env python3
"""How long the first command takes where nothing is there yet: a clean clone, an empty cargo home, no environment.

    tests/cold.py [--runs 3] [ARGUMENT ...]

Runs `cargo run --release -- reproduce ARGUMENT ...`, literally, in a clone of this one's last commit, RUNS times from nothing, and says
the seconds of each phase as it ends; at the end their medians. A phase begins with a line of the command:
    build       compiling the program
    set-up      the kernel, the Python environment, the notebooks' libraries
    notebooks   the rest
Cargo's and pip's downloads are part of it. Some twenty minutes a run on two cores.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What begins a phase after the first.
BEGINNINGS = [("set-up", re.compile(r"^\s+Running `.*reproduce")), ("notebooks", re.compile(r"^\[1/\d+\] "))]


def cold(root, arguments, log):
    """The seconds of each phase, by its name."""
    with tempfile.TemporaryDirectory(prefix="rethink-cold-") as folder:
        clone, home = Path(folder, "clone"), Path(folder, "cargo")
        subprocess.run(["git", "clone", "--quiet", str(root), str(clone)], check=True)
        # Nothing that an earlier run, or this user, has.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETHINK_", "CARGO_"))}
        kept.update(CARGO_HOME=str(home), XDG_CACHE_HOME=str(Path(folder, "cache")), PIP_NO_CACHE_DIR="1")
        command = ["cargo", "run", "--release", "--", "reproduce", *arguments]
        began = time.monotonic()
        seconds, phase, phases = {}, "build", list(BEGINNINGS)
        process = subprocess.Popen(command, cwd=clone, env=kept, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in process.stdout:
            now = time.monotonic()
            log.write(f"{now - began:8.1f}  {line}")
            log.flush()
            if phases and phases[0][1].match(line):
                seconds[phase] = now - began - sum(seconds.values())
                print(f"{phase}: {seconds[phase]:.0f} s", flush=True)
                phase = phases.pop(0)[0]
        if process.wait() != 0 or phases:
            sys.exit(f"the command ended with {process.returncode}; its output is in {log.name}")
        seconds[phase] = time.monotonic() - began - sum(seconds.values())
        seconds["all"] = time.monotonic() - began
        print(f"{phase}: {seconds[phase]:.0f} s; all: {seconds['all']:.0f} s", flush=True)
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--log", default="target/cold.log", help="the command's output, each line with its time")
    known, arguments = parser.parse_known_args()
    root = Path(__file__).resolve().parent.parent
    os.makedirs(os.path.dirname(known.log) or ".", exist_ok=True)
    with open(known.log, "w", encoding="utf-8") as log:
        runs = [cold(root, arguments, log) for _ in range(known.runs)]
    print("| phase | seconds, median | each |\n| --- | ---: | --- |")
    for phase in runs[0]:
        each = [run[phase] for run in runs]
        print(f"| {phase} | {statistics.median(each):.0f} | {', '.join(f'{value:.0f}' for value in each)} |")


main()

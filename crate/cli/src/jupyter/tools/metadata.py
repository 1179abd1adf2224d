"""`cargo metadata` for the rust-analyzer inside evcxr, of the packages whose types notebooks name.

It reads every source file of every package it is told of before the `:dep` cell can run: for polars and
what polars needs, 350 packages and ten seconds. It needs them only to find the types of variables.
"""

import json
import os
import subprocess
import sys

KEPT = {"dfdx", "plotters", "polars", "polars-core", "polars-error"}
if os.environ.get("RETHINK_KERNEL_STD") != "0":
    # Somebody types: lazy frames and expressions have their completions, for half a second more at the `:dep` cell.
    KEPT |= {"polars-lazy", "polars-plan"}

options = sys.argv[1:]
said = subprocess.run([os.environ["RETHINK_KERNEL_CARGO"], *options], stdout=subprocess.PIPE)
if said.returncode:
    sys.exit(said.returncode)
graph = json.loads(said.stdout)
nodes = (graph.get("resolve") or {}).get("nodes", [])
cell = set(graph["workspace_members"])
named = {dep["pkg"] for node in nodes if node["id"] in cell for dep in node["deps"]}
graph["packages"] = [
    p for p in graph["packages"] if p["source"] is None or p["name"] in KEPT or p["id"] in named
]
kept = {p["id"] for p in graph["packages"]}
if nodes:
    nodes = [node for node in nodes if node["id"] in kept]
    for node in nodes:
        node["deps"] = [d for d in node["deps"] if d["pkg"] in kept]
        node["dependencies"] = [d for d in node["dependencies"] if d in kept]
    graph["resolve"]["nodes"] = nodes
json.dump(graph, sys.stdout)

"""Takes outputs and execution counts out of notebooks, and tells of each, one JSON object a line.

    clean.py --check NOTEBOOK...    only looks
    clean.py NOTEBOOK...            rewrites those that are not clean, whole or not at all

Objects: {"path": "...", "clean": true} (as it was found) or {"path": "...", "failed": "..."}.

A clean notebook has no outputs, no counts, no cell that `rethink reproduce` injected, no record of an execution,
and is written as JupyterLab writes it: what is opened, run and cleaned is the committed file to the byte.
"""

import json
import os
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor

INJECTED = "injected-parameters"


def cleaned(text):
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    notebook.cells = [c for c in notebook.cells if INJECTED not in c.metadata.get("tags", [])]
    clear = ClearOutputPreprocessor(
        enabled=True, remove_metadata_fields={"collapsed", "scrolled", "execution", "rethink"}
    )
    notebook, _ = clear.preprocess(notebook, {})
    notebook.metadata.pop("rethink", None)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def main():
    check = sys.argv[1] == "--check"
    failed = False
    for path in map(Path, sys.argv[2 if check else 1 :]):
        try:
            text = path.read_text(encoding="utf-8")
            clean = cleaned(text)
            if clean != text and not check:
                part = path.with_name(f".{path.name}.partial")
                part.write_text(clean, encoding="utf-8")
                os.replace(part, path)
            print(json.dumps({"path": str(path), "clean": clean == text}), flush=True)
        except Exception as error:
            failed = True
            print(json.dumps({"path": str(path), "failed": f"{type(error).__name__}: {error}"}), flush=True)
    sys.exit(1 if failed else 0)


main()

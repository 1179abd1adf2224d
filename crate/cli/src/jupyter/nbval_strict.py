"""A pytest plugin that makes nbval see all that a cell writes to standard error.

With `-p nbval_strict`, a cell that wrote to standard error fails, unless it is tagged `raises-exception`. A kernel that dies at its start is started
again: Jupyter chooses its ports, and another process can take one before the kernel does.

Where RETHINK_RECORD names a folder, each notebook works in a folder of its own there (RETHINK_OUT), and is written
into it with its outputs, for `jupyter::expected` to compare.
"""

import os
import re
from pathlib import Path
from queue import Empty

import nbformat
import nbval.kernel
from nbval.plugin import IPyNbCell, IPyNbFile, metadata_tags

# nbclient's name of nbval's tag `nbval-skip`.
metadata_tags["skip-execution"] = "skip"

STARTS = 4
# No progress that is shown for a while only.
os.environ.setdefault("RETHINK_LIVE", "0")

start_once = nbval.kernel.start_new_kernel


def start(*args, **kwargs):
    for number in range(STARTS):
        try:
            return start_once(*args, **kwargs)
        except RuntimeError as error:
            if "died" not in str(error) or number + 1 == STARTS:
                raise


nbval.kernel.start_new_kernel = start
plain, colourful = IPyNbCell.runtest, IPyNbCell.raise_cell_error


def strict(self):
    plain(self)
    self.cell.outputs = list(self.test_outputs or [])
    self.parent.executed = self.cell.execution_count = getattr(self.parent, "executed", 0) + 1
    said = [o.text for o in self.test_outputs or [] if o.get("name") == "stderr"]
    # Of a cell that does not load the crate, standard error travels apart from the answer and can come after it (relay.py says whether all
    # is there).
    while not self.parent.heard["metadata"].get("whole"):
        try:
            late = self.parent.get_kernel_message(timeout=0.3)
        except Empty:
            break
        if late["msg_type"] == "stream" and late["content"]["name"] == "stderr":
            said.append(late["content"]["text"])
    # The tag `raises-exception` sets the option.
    if said and not self.options["check_exception"]:
        self.raise_cell_error("The cell wrote to standard error", "".join(said))


def without_colours(self, message, *texts):
    colourful(self, message, *(re.sub(r"\x1b\[[0-9;]*m", "", text) for text in texts))


IPyNbCell.runtest, IPyNbCell.raise_cell_error = strict, without_colours

start_file, end_file = IPyNbFile.setup, IPyNbFile.teardown


def place(file):
    record = os.environ.get("RETHINK_RECORD")
    return Path(record) / Path(str(file.fspath)).stem if record else None


def setup(self):
    if place(self):
        os.environ["RETHINK_OUT"] = str(place(self))
    start_file(self)
    hear = self.get_kernel_message

    def remembering(*args, **kwargs):
        self.heard = hear(*args, **kwargs)
        return self.heard

    self.get_kernel_message = remembering


def teardown(self):
    end_file(self)
    if place(self):
        place(self).mkdir(parents=True, exist_ok=True)
        nbformat.write(self.nb, place(self) / (place(self).name + ".ipynb"))


IPyNbFile.setup, IPyNbFile.teardown = setup, teardown

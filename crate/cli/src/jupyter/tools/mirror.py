"""Writes `mirror/`, the workspace that a cell is built in, from the folder that evcxr writes the cell to.

cargo names a crate's artifacts by where it lies in its workspace, among other things. A cell that
depended on ROOT/crate/rethink from outside would have it compiled once more, a minute at each change. So the
cell becomes the root package of a workspace that has ROOT's settings and lock file, and `crate` at
the same place, by a link: to cargo, the crates that the command line was linked from.

For the same reason the cells of two kernels would be one crate to cargo: while one waited for the build folder, the other's
cell would be compiled, and taken for the first's, as newer than its source. So a package has its kernel's name.
"""

import os
import re
from pathlib import Path

root = Path(os.environ["RETHINK_ROOT"])
mirror = Path("mirror")
cell = Path("Cargo.toml").read_text(encoding="utf-8")

# From ROOT's manifest: [workspace...] without its list of members, and [profile...].
shared, taken, depth = [], False, 0
for line in (root / "Cargo.toml").read_text(encoding="utf-8").splitlines():
    if depth == 0 and line.startswith("["):
        taken = re.match(r"\[(workspace|profile)\b", line) is not None
    if depth > 0 or re.match(r"(members|default-members|exclude)\s*=", line):
        depth += line.count("[") - line.count("]")
    elif taken:
        shared.append(line)

package = (
    f'[package]\nname = "ctx-{os.environ["RETHINK_KERNEL"]}"\nversion = "1.0.0"\nedition = "2024"\n'
    '[lib]\nname = "ctx"\ncrate-type = ["cdylib"]\n'
)
path = str(root / "crate" / "rethink").replace("\\", "\\\\").replace('"', '\\"')
dependencies = cell[cell.index("[dependencies]") :].replace(f'path = "{path}"', 'path = "crate/rethink"')

if not mirror.exists():
    mirror.mkdir()
    (mirror / "crate").symlink_to(root / "crate")
    (mirror / "src").symlink_to(Path("..") / "src")
# At every change of the dependencies: cargo has struck out what the last ones did not need.
(mirror / "Cargo.lock").write_bytes((root / "Cargo.lock").read_bytes())
(mirror / "Cargo.toml").write_text("\n".join([*shared, package, dependencies]), encoding="utf-8")

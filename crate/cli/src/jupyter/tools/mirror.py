"""Writes `mirror/`, the workspace that a cell is built in, from the folder that evcxr writes the cell to.

cargo names a crate's artifacts by where it lies in its workspace, among other things. A cell that
depended on ROOT/crate/rethink from outside would have it compiled once more, a minute at each change. So the
cell becomes the root package of a workspace that has ROOT's settings and lock file, and `crate` at
the same place, by a link: to cargo, the crates that the command line was linked from.

For the same reason the cells of two kernels would be one crate to cargo: while one waited for the build folder, the other's
cell would be compiled, and taken for the first's, as newer than its source. So a package has its kernel's name, which no other kernel has that may share the build folder (launch.py).

A cell is not linked with the libraries: they are in one dynamic library, which every cell loads. It is the crate `cells`
here, which re-exports `rethink`; what a cell knows as `rethink` is that. So all cells share polars' caches, the
thread pool and every other static, and a cell is quickly compiled, linked and loaded. A process that has loaded a
library takes every later one of the same name for it. So the name holds a digest of the sources: after an edit, the next
cell loads another one.
"""

import hashlib
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
library = 'path = "cells", package = "rethink-cells"'
# Without what is white around it, which evcxr and launch.py set differently: it goes into the library's name.
dependencies = cell[cell.index("[dependencies]") :].replace(f'path = "{path}"', library).strip() + "\n"


def digest():
    """Of all that decides what the dynamic library is made of."""
    hashed = hashlib.sha256(dependencies.encode())
    hashed.update(os.environ["RETHINK_KERNEL_RUSTC"].encode())
    for manifest in ("Cargo.toml", "Cargo.lock"):
        hashed.update((root / manifest).read_bytes())
    for folder, folders, files in os.walk(root / "crate"):
        folders[:] = sorted(name for name in folders if name not in ("cli", "docs"))
        for name in sorted(files):
            about = (Path(folder) / name).stat()
            # Not where the clone lies: one that is moved, or another of the same files, has the same library.
            place = (Path(folder) / name).relative_to(root)
            hashed.update(f"{place} {about.st_mtime_ns} {about.st_size}\n".encode(errors="surrogateescape"))
    return hashed.hexdigest()[:12]


def features():
    """Those of `rethink`, by the same names."""
    manifest = (root / "crate" / "rethink" / "Cargo.toml").read_text(encoding="utf-8")
    section = re.search(r"^\[features\]\n(.*?)(?=^\[|\Z)", manifest, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^([\w-]+)\s*=", section[1], re.MULTILINE) if section else []
    return "".join(f'{name} = ["rethink/{name}"]\n' for name in names)


def forget_old_ones(name):
    """Before a library is linked: each edit makes a large one. A process that has loaded one keeps it."""
    folder = Path(os.environ["RETHINK_KERNEL_BUILD"]) / "release" / "deps"
    found = sorted(folder.glob("*rethink_cells_*.*"), key=lambda path: path.stat().st_mtime)
    if not any(name in path.name for path in found):
        # cargo links it into this kernel's own folder, too.
        for path in [*found[:-4], *Path("target", "release").glob("*rethink_cells_*.*")]:
            path.unlink(missing_ok=True)


def write_cells(name):
    """The crate of the dynamic library."""
    forget_old_ones(name)
    source = mirror / "cells" / "src" / "lib.rs"
    source.write_text("pub use rethink::*;\n", encoding="utf-8")
    # As old as can be: cargo would link the library again for each kernel's newer copy of this line.
    os.utime(source, (946684800, 946684800))
    (mirror / "cells" / "Cargo.toml").write_text(
        '[package]\nname = "rethink-cells"\nversion = "1.0.0"\nedition = "2024"\n'
        f'[lib]\nname = "{name}"\ncrate-type = ["dylib"]\n[features]\n{features()}'
        '[dependencies]\nrethink = { path = "../crate/rethink" }\n',
        encoding="utf-8",
    )


if not mirror.exists():
    (mirror / "cells" / "src").mkdir(parents=True)
    (mirror / "crate").symlink_to(root / "crate")
    (mirror / "src").symlink_to(Path("..") / "src")
# At every change of the dependencies: cargo has struck out what the last ones did not need.
(mirror / "Cargo.lock").write_bytes((root / "Cargo.lock").read_bytes())
(mirror / "Cargo.toml").write_text("\n".join([*shared, package, dependencies]), encoding="utf-8")
known = digest()
if library in dependencies:
    write_cells(f"rethink_cells_{known}")
# Whether all that a cell is made with has one digest: not where it depends on other crates on this machine, too.
(mirror / "known").unlink(missing_ok=True)
if not re.search(r"\bpath\s*=", dependencies.replace(library, "")):
    (mirror / "known").write_text(known, encoding="utf-8")

"""Starts a notebook kernel: evcxr in a folder of its own, on the workspace's lock file and build folder.

    launch.py ROOT BUILD EVCXR CONNECTION_FILE    be the kernel that Jupyter asked for, with evcxr behind relay.py
    launch.py ROOT BUILD EVCXR --build [OPTION]   compile what a kernel will need; options are cargo's

ROOT is the workspace, BUILD its folder for intermediate artifacts, EVCXR the evcxr_jupyter program.
evcxr compiles each cell as a crate `ctx`. On its own it would build every dependency again, in a new
temporary folder, unoptimised, at whatever versions are current. Here `ctx` gets ROOT's Cargo.lock, and
the `cargo` beside this file (in `tools`) builds it with ROOT's release profile in ROOT's build folder,
so that polars, plotters and dfdx are the ones that the command line was linked from.

Kernels lie in ROOT/.rethink/kernels. Where this user cannot write there, or evcxr could not read the path (it takes
a space for the path's end), they lie in a folder of the user's own (`own_folder`); and where this user cannot
write in BUILD, a folder of links to what is there takes its place (`linked`).
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Paths that evcxr, and the shell's and the linker's lists, take for one word.
PLAIN = re.compile(r"[\w./@+=~-]+")
# Of a build folder, files up to this many bytes are copied: cargo and rustc write some of them in place.
SMALL = 65536


def cargo_bins():
    """Where cargo's programs lie if not on PATH: Jupyter may have been started without a login shell's settings."""
    homes = [os.environ.get("CARGO_HOME"), os.path.expanduser("~/.cargo")]
    return [os.path.join(home, "bin") for home in homes if home]


def which(tool):
    """The tool itself and not rustup's proxy, which costs 30 ms a call."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *cargo_bins()])
    try:
        rustup = shutil.which("rustup", path=path)
        said = rustup and subprocess.run([rustup, "which", tool], capture_output=True, text=True)
        if said and said.returncode == 0:
            return said.stdout.strip()
    except OSError:
        pass
    found = shutil.which(tool, path=path)
    if not found:
        places = ", ".join(cargo_bins())
        sys.exit(f"rethink kernel: no `{tool}` on PATH, nor in {places}; install Rust from https://rustup.rs")
    return found


def writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def plain(path):
    return PLAIN.fullmatch(str(path)) is not None


def own_folder(root):
    """A folder of this user alone for the kernels of `root`, from which programs may run."""
    cache = os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    places = [
        Path(os.environ.get("XDG_CACHE_HOME") or cache, "rethink"),
        Path(os.environ.get("XDG_RUNTIME_DIR") or os.devnull, "rethink"),
        Path(tempfile.gettempdir(), f"rethink-{os.getuid()}"),
    ]
    for place in places:
        folder = place / f"kernels-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
        if not place.is_absolute() or not plain(folder) or not writable(place):
            continue
        about = place.lstat()
        runs = not os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 0)
        if about.st_uid == os.getuid() and not place.is_symlink() and runs:
            folder.mkdir(mode=0o700, exist_ok=True)
            return folder
    tried = ", ".join(str(place) for place in places if place.is_absolute())
    sys.exit(
        "rethink kernel: no folder for the notebooks' cells: each of these cannot be written, has a space in its "
        f"path, or no program may run from it: {tried}; set XDG_CACHE_HOME to one that will do"
    )


def copy_newer(source, target):
    about = source.stat()
    try:
        if target.stat().st_mtime_ns >= about.st_mtime_ns:
            return
    except OSError:
        pass
    shutil.copy2(source, target)


def linked(build, own):
    """The folder `own`, with what is in `build` by links, where this user may not write.

    To cargo it is the same: files have the times that they have there. What it makes anew takes a link's place.
    """
    (own / "release").mkdir(parents=True, exist_ok=True)
    with open(own / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        parts = [build / "release" / part for part in ("deps", ".fingerprint", "build")]
        state = "".join(f"{part} {part.stat().st_mtime_ns}\n" for part in parts if part.exists())
        note = own / "linked"
        if note.is_file() and note.read_text() == state:
            return own
        for folder, _, files in os.walk(build / "release"):
            here = Path(folder)
            if here == build / "release" or not any(here == part or part in here.parents for part in parts):
                continue
            there = own / here.relative_to(build)
            there.mkdir(parents=True, exist_ok=True)
            for name in files:
                source, target = here / name, there / name
                if here.name == "deps" and source.stat().st_size > SMALL:
                    if target.is_symlink() or not target.exists():
                        target.unlink(missing_ok=True)
                        target.symlink_to(source)
                else:
                    copy_newer(source, target)
        note.write_text(state)
    return own


def follow_settings(root, kernels):
    """cargo heeds the settings in the folders above the one where it runs: here too, those above `root` count."""
    folders = [folder for folder in [root, *root.parents] if folder not in kernels.parents]
    files = [
        next((f for f in (folder / ".cargo/config.toml", folder / ".cargo/config") if f.is_file()), None)
        for folder in reversed(folders)
    ]
    # A string of TOML is written as one of JSON.
    listed = ", ".join(json.dumps(str(file), ensure_ascii=False) for file in files if file)
    settings = kernels / ".cargo" / "config.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f"include = [{listed}]\n" if listed else "", encoding="utf-8")


def places(root, build):
    """Where this user's kernels lie, and the build folder for them."""
    kernels = root / ".rethink" / "kernels"
    within = [build, *(build / "release" / part for part in ("", "deps", ".fingerprint"))]
    may_build = all(writable(folder) for folder in within)
    if plain(kernels) and writable(kernels) and may_build:
        return kernels, build
    own = own_folder(root)
    kernels = own / "kernels"
    kernels.mkdir(exist_ok=True)
    follow_settings(root, kernels)
    return kernels, build if may_build else linked(build, own / "build")


def name_of(kernels, number):
    """A kernel's name, which its cells' crate has, too: many may share a build folder, and cargo takes crates of one name
    for one. So it says whose, where and on which machine the kernel is."""
    whose = f"{kernels.resolve()}\n{os.getuid()}\n{os.uname().nodename}"
    return f"{hashlib.sha256(whose.encode(errors='surrogateescape')).hexdigest()[:10]}-{number}"


def claim(kernels):
    """A free folder under `kernels`. The lock is held until this process and its children are gone."""
    kernels.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        lock = open(kernels / f"{number}.lock", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        os.set_inheritable(lock.fileno(), True)
        return kernels / str(number), lock
    sys.exit(f"rethink kernel: 1000 kernels are running, says {kernels}")


def environment(root, build, tools):
    env = dict(os.environ)
    # Large pages for large blocks of a cell's process: as the program has them (crate/nn/src/large_pages.rs).
    env.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    env.pop("RUSTFLAGS", None)
    cargo, rustc = which("cargo"), which("rustc")
    asked = [rustc, "--print=target-libdir"]
    libraries = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    # cargo looks for rustc, and evcxr for both, on PATH.
    path = [str(tools / "bin"), env.get("PATH", os.defpath), *sorted({os.path.dirname(cargo), os.path.dirname(rustc)})]
    env.update(
        PATH=os.pathsep.join(path),
        # Where rust-analyzer looks for cargo first.
        CARGO_HOME=str(tools),
        RETHINK_ROOT=str(root),
        RETHINK_KERNEL_CARGO=cargo,
        RETHINK_KERNEL_CARGO_HOME=os.environ.get("CARGO_HOME", ""),
        RETHINK_KERNEL_PYTHON=sys.executable,
        RETHINK_KERNEL_RUSTC=rustc,
        RETHINK_KERNEL_LIBRARIES=libraries,
        RETHINK_KERNEL_TOOLS=str(tools),
        RETHINK_KERNEL_BUILD=str(build),
        RETHINK_KERNEL_RUSTFLAGS=os.environ.get("RUSTFLAGS", ""),
        EVCXR_CONFIG_DIR=str(tools / "evcxr"),
    )
    # From the standard library's sources, where rustup has installed them, evcxr finds the types of more
    # variables (of a Vec; after a `?`), and needs 8 s of processor time more. So it is shown an empty
    # folder where notebooks are run that need it not (`jupyter::run`).
    if env.get("RETHINK_KERNEL_STD") == "0":
        env["RUST_SRC_PATH"] = str(tools / "no-rust-src")
    return env


def main():
    root, build, evcxr = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    tools = Path(__file__).resolve().parent / "tools"
    kernels, build = places(root, build)
    env = environment(root, build, tools)
    if sys.argv[4] == "--build":
        folder = kernels / "build"
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "src" / "lib.rs").touch()
        crate = str(root / "crate" / "rethink").replace("\\", "\\\\").replace('"', '\\"')
        (folder / "Cargo.toml").write_text(
            '[package]\nname = "ctx"\nversion = "1.0.0"\nedition = "2024"\n'
            f'[dependencies]\nrethink = {{ path = "{crate}" }}\n'
        )
        shutil.rmtree(folder / "mirror", ignore_errors=True)
        env["RETHINK_KERNEL"] = name_of(kernels, "build")
        os.chdir(folder)
        os.execve(tools / "bin" / "cargo", ["cargo", "build", *sys.argv[5:]], env)

    folder, lock = claim(kernels)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    env["EVCXR_TMPDIR"] = str(folder)
    env["RETHINK_KERNEL"] = name_of(kernels, folder.name)
    # `python -I` does not look beside this file.
    sys.path.insert(0, str(tools.parent))
    from relay import relay

    try:
        relay(folder, lock, evcxr, sys.argv[4], env)
    except OSError as error:
        sys.exit(f"rethink kernel: {evcxr}: {error}; `rethink lab` sets it up again")


main()

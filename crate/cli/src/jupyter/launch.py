"""Starts a notebook kernel: evcxr in a folder of its own, on the workspace's lock file and build folder.

    launch.py ROOT BUILD EVCXR CONNECTION_FILE    be the kernel that Jupyter asked for, with evcxr behind relay.py
    launch.py ROOT BUILD EVCXR --build [OPTION]   compile what a kernel will need; options are cargo's

ROOT is the workspace, BUILD its folder for intermediate artifacts, EVCXR the evcxr_jupyter program.
evcxr compiles each cell as a crate `ctx`. On its own it would build every dependency again, in a new
temporary folder, unoptimised, at whatever versions are current. Here `ctx` gets ROOT's Cargo.lock, and
the `cargo` beside this file (in `tools`) builds it with ROOT's release profile in ROOT's build folder,
so that polars, plotters and dfdx are the ones that the command line was linked from.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path


def which(tool):
    """The tool itself and not rustup's proxy, which costs 30 ms a call."""
    try:
        said = subprocess.run(["rustup", "which", tool], capture_output=True, text=True)
        if said.returncode == 0:
            return said.stdout.strip()
    except OSError:
        pass
    found = shutil.which(tool)
    if not found:
        sys.exit(f"rethink kernel: no `{tool}` on PATH; install Rust from https://rustup.rs")
    return found


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
    env.pop("RUSTFLAGS", None)
    cargo, rustc = which("cargo"), which("rustc")
    asked = [rustc, "--print=target-libdir"]
    libraries = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    env.update(
        PATH=f"{tools / 'bin'}{os.pathsep}{env.get('PATH', '')}",
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
    # folder, unless `rethink lab` asks.
    if env.get("RETHINK_KERNEL_STD") != "1":
        env["RUST_SRC_PATH"] = str(tools / "no-rust-src")
    return env


def main():
    root, build, evcxr = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    tools = Path(__file__).resolve().parent / "tools"
    env = environment(root, build, tools)
    if sys.argv[4] == "--build":
        folder = root / ".rethink" / "kernels" / "build"
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "src" / "lib.rs").touch()
        crate = str(root / "crate" / "rethink").replace("\\", "\\\\").replace('"', '\\"')
        (folder / "Cargo.toml").write_text(
            '[package]\nname = "ctx"\nversion = "1.0.0"\nedition = "2024"\n'
            f'[dependencies]\nrethink = {{ path = "{crate}" }}\n'
        )
        shutil.rmtree(folder / "mirror", ignore_errors=True)
        env["RETHINK_KERNEL"] = "build"
        os.chdir(folder)
        os.execve(tools / "bin" / "cargo", ["cargo", "build", *sys.argv[5:]], env)

    folder, lock = claim(root / ".rethink" / "kernels")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    env["EVCXR_TMPDIR"] = str(folder)
    env["RETHINK_KERNEL"] = folder.name
    # `python -I` does not look beside this file.
    sys.path.insert(0, str(tools.parent))
    from relay import relay

    try:
        relay(folder, lock, evcxr, sys.argv[4], env)
    except OSError as error:
        sys.exit(f"rethink kernel: {evcxr}: {error}; `rethink lab` sets it up again")


main()

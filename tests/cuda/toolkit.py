"""What `cargo build --features cuda` needs where no CUDA toolkit is installed, from PyPI: toolkit.py FOLDER.

Prints the variables to build with, one NAME=VALUE a line. The compiler (nvcc 13.0) makes code for compute capability
9.0 unless CUDA_COMPUTE_CAP is set. Linux only: there the program finds CUDA's libraries when it runs, so that empty ones
will do for the linker.
"""
import os
import subprocess
import sys
from pathlib import Path

WHEELS = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-cuda-nvrtc==13.0.88",
]


def main(folder):
    done = folder / "done"
    if not done.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", folder / "wheels", *WHEELS], check=True, stdout=sys.stderr)
        # dfdx's build asks the card for its compute capability.
        tools = folder / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        smi = tools / "nvidia-smi"
        smi.write_text("#!/bin/sh\necho compute_cap\necho 9.0\n")
        smi.chmod(0o755)
        stubs = folder / "root" / "lib64" / "stubs"
        stubs.mkdir(parents=True, exist_ok=True)
        for name in ["cuda", "nvrtc", "cublas", "cublasLt"]:
            library = stubs / f"lib{name}.so"
            subprocess.run(["cc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", library], check=True)
        include = folder / "root" / "include"
        include.mkdir(parents=True, exist_ok=True)
        (include / "cuda.h").touch()
        done.touch()
    nvcc = folder / "wheels" / "nvidia" / "cu13" / "bin"
    print(f"CUDA_PATH={folder / 'root'}")
    print(f"PATH={folder / 'tools'}:{nvcc}:{os.environ['PATH']}")


main(Path(sys.argv[1]).resolve())

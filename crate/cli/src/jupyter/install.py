"""Installs packages with pip into the environment of the Python that runs this.

    install.py REQUIREMENTS

The user's settings of pip (PIP_* variables, pip.conf) are heeded in where packages come from: index, mirror, proxy, certificates,
patience. Where pip puts them (`user`, `target`, `prefix`) and which it takes (`constraint`, `no-deps`) is not for them to say here.
"""

import ast
import os
import subprocess
import sys

HEEDED = {
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
    "timeout",
    "default-timeout",
    "retries",
    "resume-retries",
    "cache-dir",
    "no-cache-dir",
    "keyring-provider",
    "use-feature",
    "use-deprecated",
    "only-binary",
    "no-binary",
    "prefer-binary",
    "no-color",
}
# What is said later counts.
SECTIONS = ["global", "install", ":env:"]
PIP = [sys.executable, "-I", "-m", "pip"]


def without(starts):
    return {name: value for name, value in os.environ.items() if not name.startswith(starts)}


def settings():
    """The user's, by name."""
    said = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if said.returncode:
        sys.exit(f"pip does not read its settings: {said.stderr.strip()}")
    found = []
    for line in said.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in SECTIONS and name in HEEDED:
            try:
                found.append((SECTIONS.index(section), name, str(ast.literal_eval(value))))
            except (SyntaxError, ValueError):
                pass
    return {name: value for _, name, value in sorted(found)}


def main():
    env = without(("PIP_", "PYTHON"))
    for name, value in settings().items():
        env["PIP_" + name.upper().replace("-", "_")] = value
    # pip looks at REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE itself.
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and os.path.isfile(bundle) and not any(n in env for n in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")):
        env.setdefault("PIP_CERT", bundle)
    # No files of settings.
    env["PIP_CONFIG_FILE"] = os.devnull
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--requirement", sys.argv[1]]
    sys.exit(subprocess.run([*PIP, "install", *options], env=env).returncode)


main()

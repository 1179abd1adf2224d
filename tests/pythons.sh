#!/bin/sh
# Sets up the notebooks' Python environment with each Python that is named, and runs a small notebook in it. Prints a row of
# a table for each: Python, seconds of set-up, seconds of the notebook, outcome. The last lines of a failure go to standard error.
#
#     cargo build --release && tests/pythons.sh python3.9 /usr/bin/python3 ...
#
# It works on a copy of the clone's sources with the clone's build folder; the kernel program is the clone's, if it has one.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
copy="$folder/clone"
mkdir "$copy"
# With the times of files and folders, by which cargo sees that nothing changed.
(cd "$root" && cp -a crate notebooks tests Cargo.toml Cargo.lock "$copy")
# And of the same commit: the library says in its results which it was built from.
echo "gitdir: $(cd "$root" && git rev-parse --absolute-git-dir)" > "$copy/.git"
cat > "$folder/small.ipynb" << 'NOTEBOOK'
{"cells": [{"cell_type": "code", "id": "one", "metadata": {}, "execution_count": null, "outputs": [],
  "source": ":dep rethink = { path = \"clone/crate/rethink\" }\nuse rethink::prelude::*;"},
 {"cell_type": "code", "id": "two", "metadata": {}, "execution_count": null, "outputs": [],
  "source": "println!(\"{}\", Scale::Smoke);"}],
 "metadata": {"kernelspec": {"name": "rethink", "display_name": "Rust (rethink)", "language": "rust"}},
 "nbformat": 4, "nbformat_minor": 5}
NOTEBOOK
kernel=$root/.rethink/bin/evcxr_jupyter
[ -x "$kernel" ] && export RETHINK_EVCXR_JUPYTER="${RETHINK_EVCXR_JUPYTER:-$kernel}"
export RETHINK_ROOT="$copy" CARGO_TARGET_DIR="$target"
echo "| Python | set-up, s | notebook, s | outcome |"
echo "| --- | ---: | ---: | --- |"
failures=0
for python in "$@"; do
    version=$("$python" -I -c 'import platform; print(platform.python_version())' 2> /dev/null || echo "$python")
    rm -rf "$copy/.rethink/venv"
    start=$(date +%s)
    outcome=fails
    middle=$start
    if RETHINK_PYTHON="$python" "$target/release/rethink" notebooks clean "$folder/small.ipynb" > "$folder/log" 2>&1; then
        middle=$(date +%s)
        if RETHINK_PYTHON="$python" "$target/release/rethink" notebooks accept "$folder/small.ipynb" \
            --expected "$folder/expected" >> "$folder/log" 2>&1; then
            outcome=runs
        fi
    fi
    echo "| $version | $((middle - start)) | $(($(date +%s) - middle)) | $outcome |"
    if [ "$outcome" = fails ]; then
        failures=$((failures + 1))
        tail -n 25 "$folder/log" >&2
    fi
done
exit "$failures"

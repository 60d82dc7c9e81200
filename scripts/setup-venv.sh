#!/bin/sh
# Makes the virtual environment and installs Layerproof in it: setup-venv.sh FOLDER LOCKFILE
set -eu

venv=$1
lock=$2

recent() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=
for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python; do
    if recent "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Layerproof needs Python 3.11 or newer, and none was found." >&2
    echo "Install one (on Debian: apt-get install python3 python3-venv)," >&2
    echo "or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi

if [ ! -x "$venv/bin/python" ]; then
    # Debian and Ubuntu ship venv's second half (ensurepip) as a package of its own.
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        scripts/setup-system.sh python3-venv
    fi
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        echo "$python cannot make virtual environments: its module ensurepip is missing." >&2
        echo "On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    echo "Making the virtual environment $venv with $("$python" --version)."
    "$python" -m venv "$venv"
fi
echo "Installing Layerproof and its parts into $venv."
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$venv/bin/python" -m pip install --quiet --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps -e .
# As an installed package has it, also where Python is told to write no bytecode by itself.
"$venv/bin/python" -m compileall -q src

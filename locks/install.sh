#!/bin/sh
# Install the project, editable, into a virtual environment.
#
#     locks/install.sh BIN LOCK EXTRA
#
# BIN is the environment's folder of programs, LOCK a file of this folder, EXTRA the extra of pyproject.toml
# that the lock was made for ("" for none). On Linux and macOS with Python 3.11 to 3.13, x86-64 or arm64, exactly
# what the lock names is installed, by hash, and the project is built with the tools that it names. Elsewhere the
# ranges of pyproject.toml decide, and that is said. LOCK "-" means the ranges, at their newest.
set -e

bin=$1 lock=$2 extra=$3
project=$(dirname "$0")/..
[ -z "$extra" ] || extra="[$extra]"

cover=$("$bin/python" - <<'PYTHON'
import platform, sys
known = (3, 11) <= sys.version_info[:2] <= (3, 13) and platform.python_implementation() == "CPython"
known = known and sys.platform in ("linux", "darwin") and platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
known = known and (sys.platform == "darwin" or platform.libc_ver()[0] == "glibc")
print("yes" if known else f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
PYTHON
)

if [ "$lock" = "-" ]; then
    "$bin/python" -m pip install --quiet --upgrade --upgrade-strategy eager --editable "$project$extra"
elif [ "$cover" = yes ]; then
    # a lock is complete: older versions of pip stumble over extras that it names without them
    "$bin/python" -m pip install --quiet --require-hashes --no-deps --only-binary :all: --requirement "$project/locks/$lock"
    "$bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable "$project"
else
    echo "note: the lock does not cover $cover; versions are chosen from the ranges in pyproject.toml" >&2
    "$bin/python" -m pip install --quiet --editable "$project$extra"
fi

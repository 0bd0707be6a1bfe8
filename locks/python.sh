#!/bin/sh
# Print the interpreter that makes the virtual environments: the one that was named, else a `python3` that the
# locks cover (3.11 to 3.13), else another one on the path that they cover, else any Python 3.11 or newer.
# Says on standard error why none will do, and ends with 1.
#
#     locks/python.sh [INTERPRETER]

named=$1

speaks() { # the interpreter runs, and is 3.11 or newer
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

can_make() { # it can make virtual environments
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

covered() { # the locks hold for it
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ -n "$named" ]; then
    command -v "$named" >/dev/null || {
        echo "$named is not there. Install Python 3.11 or newer, or name it: make PYTHON=python3.12" >&2; exit 1; }
    speaks "$named" || {
        echo "$named is $("$named" -V 2>&1), 3.11 or newer is needed. Name another: make PYTHON=python3.12" >&2; exit 1; }
    can_make "$named" || {
        echo "$named cannot make virtual environments: its ensurepip is missing. On Debian and Ubuntu:" >&2
        echo "    apt install $("$named" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2
        echo "or name another interpreter: make PYTHON=python3.12" >&2; exit 1; }
    echo "$named"; exit 0
fi

usable=
for each in python3 python3.13 python3.12 python3.11 python3.14 python3.15 python; do
    command -v "$each" >/dev/null && speaks "$each" && can_make "$each" || continue
    if covered "$each"; then echo "$each"; exit 0; fi
    usable=${usable:-$each}
done
if [ -n "$usable" ]; then echo "$usable"; exit 0; fi
exec "$0" python3 # says what is wrong with it

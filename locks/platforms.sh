#!/bin/sh
# Find the wheels of a lock for every platform and Python that it claims to cover, without running them.
#
#     locks/platforms.sh UV LOCK...
#
# Ends with 1 where a wheel is missing. Nothing is installed.
uv=$1; shift
failed=0
nowhere=$(mktemp -d)
trap 'rm -rf "$nowhere"' EXIT
for lock in "$@"; do
    for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 x86_64-apple-darwin aarch64-apple-darwin; do
        for version in 3.11 3.12 3.13; do
            if "$uv" pip install --quiet --dry-run --require-hashes --only-binary :all: --target "$nowhere" \
                --python-platform "$platform" --python-version "$version" --requirement "$lock" 2>"$nowhere/why"
            then echo "$lock: $platform, Python $version: every wheel is there"
            else echo "$lock: $platform, Python $version:"; tail -n 12 "$nowhere/why"; failed=1
            fi
        done
    done
done
exit $failed

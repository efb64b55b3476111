#!/bin/bash
# bench/build.sh - processor time of an incremental build after a change of base/str.h and of codec/value.h (user and system, of all
# compilers and linkers), without ccache, in a build directory of its own.
set -eu
cd "$(dirname "$0")/.."
export CCACHE_DISABLE=1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
meson setup "$dir" >/dev/null
ninja -C "$dir" >/dev/null
TIMEFORMAT='%U %S'
for header in src/base/str.h src/codec/value.h; do
    touch "$header"
    { time ninja -C "$dir" >/dev/null; } 2>&1 | awk -v header="$header" '{ printf "%-20s %.0f s of processor time\n", header ":", $1 + $2 }'
done

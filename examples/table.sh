#!/bin/sh
# table.sh [NAME]... -- runs the examples (all, or these) and prints the table of `make examples`. row.sh says what an example is.
BUILD=${BUILD:-build}
export BUILD
[ $# = 0 ] && for f in examples/*/run.sh; do set -- "$@" "$(basename "$(dirname "$f")")"; done
wrong=0
for name; do
    if [ ! -f "examples/$name/run.sh" ]; then echo "no example $name: examples/$name/run.sh is missing" >&2; exit 2; fi
    mkdir -p "$BUILD/examples/$name"
    echo "$name: $BUILD/examples/$name/log" >&2
    sh -eu "examples/$name/run.sh" >"$BUILD/examples/$name/log" 2>&1 ||
        { tail -n 3 "$BUILD/examples/$name/log" >&2; printf 'finished\tyes\tno\t\twrong\n' >>"$BUILD/examples/$name/rows"; }
done
printf '%-14s %-34s %-14s %10s %8s\n' example metric expected got seconds
for name; do
    awk -F '\t' -v name="$name" '{ printf "%-14s %-34s %-14s %10s %8s%s\n", name, $1, $2, $3, $4, $5 == "right" ? "" : "  wrong" }' "$BUILD/examples/$name/rows"
    grep -q 'wrong$' "$BUILD/examples/$name/rows" && wrong=1
done
exit $wrong

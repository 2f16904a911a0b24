#!/bin/bash
# run.sh -- runs the tests.   tests/run.sh [PATH or part of a name]...
#
# A test is one behaviour. tests/AREA/NAME.test holds commands and exactly what they print:
#
#     # comments first; "# slow": only with SLOW=1; "# edge": with EDGE=1; "# needs: clang python3": skipped, visibly, where one is missing;
#     # "# if: COMMAND": skipped, visibly, where the command fails
#     $ modelc check $DIR/bad.mdl
#     error[E0204]: ...
#     exit 1
#
# Each command is run by `sh -c` in one fresh folder; standard output and error together follow it; `exit N` where the status is
# not 0. A command goes on in lines that begin with "> " (a here-document, say). Output that looks like one of these marks is
# written with a \ before it; output without a final newline is followed by "\ no newline at the end". The paths of the
# checkout, of the build folder and of the fresh folder are printed as $ROOT, $BUILD and $TMP. A test that expects nothing at
# all is refused.
#
# tests/AREA/NAME.c with a main is a unit test: it prints what failed and returns 0 when nothing did. A line "// slow" as above, "// plain":
# much arithmetic, skipped in a build with sanitizers.
#
# Environment of the commands: ROOT, BUILD, DIR (the folder of the test), CC, modelc and mdlrun on the PATH.
# Of this script: BUILD (build), BLESS=1 rewrite expectations, SLOW=1, EDGE=1, JOBS (2), TEST_TIMEOUT in seconds (120).

export LC_ALL=C TZ=UTC
unset MAKEFLAGS MFLAGS MAKELEVEL # of a `make -j2 check`: a make in a test would speak of it
ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT" || exit 2
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
export ROOT BUILD CC=${CC:-gcc}
export PATH=$BUILD:$PATH
export TEST_TIMEOUT=${TEST_TIMEOUT:-120} BLESS=${BLESS:-} SLOW=${SLOW:-} EDGE=${EDGE:-}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# ---- one test ---------------------------------------------------------------------------------------------------------------

# Runs a shell command with the time limit, both outputs to standard output; returns its status.
limited() {
    timeout -k 5 "$TEST_TIMEOUT" "$@" </dev/null 2>&1
    local status=$?
    [ $status = 124 ] && echo "(stopped after $TEST_TIMEOUT s)"
    return $status
}

# What a command printed, as it stands in a .test file: paths by name, marks escaped, a missing last newline shown.
as_written() { # file
    sed -e "s|$tmp|\$TMP|g; s|$BUILD|\$BUILD|g; s|$ROOT|\$ROOT|g" -e 's/^\(\$ \|> \|exit [0-9]\|\\\)/\\\1/' "$1"
    [ -s "$1" ] && [ -n "$(tail -c 1 "$1")" ] && printf '\n\\ no newline at the end\n'
    return 0
}

# Runs every command of $1 and writes the transcript, comments included, to standard output.
transcript() { # test file
    local line command= lines= fresh=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        '$ '*) finish; command=${line#'$ '}; lines=$line; fresh=1 ;;
        '> '* | '>') 
            if [ -n "$fresh" ]; then
                line=${line#>}
                command+=$'\n'${line# }
                lines+=$'\n'">$line"
            fi ;;
        '#'*) if [ -z "$lines" ]; then printf '%s\n' "$line"; fi; fresh= ;;
        *) fresh= ;;
        esac
    done <"$1"
    finish
}

finish() { # runs the command collected so far
    local status
    [ -n "$lines" ] || return 0
    printf '%s\n' "$lines"
    (cd "$tmp/work" && limited env -u BLESS -u SLOW -u EDGE -u TEST_TIMEOUT sh -c "$command" >"$tmp/output")
    status=$?
    as_written "$tmp/output"
    [ $status = 0 ] || echo "exit $status"
}

run_test_file() { # file; sets verdict and report
    local file=$1 tool
    for tool in $(sed -n 's/^# needs: *//p' "$file"); do
        if ! command -v "$tool" >/dev/null; then verdict=skip; report="needs $tool"; return; fi
    done
    local condition
    condition=$(sed -n 's/^# if: *//p' "$file")
    if ! sh -c "${condition:-:}" >/dev/null 2>&1 </dev/null; then verdict=skip; report="not possible here: $condition"; return; fi
    if [ -z "$SLOW" ] && grep -q '^# slow' "$file"; then verdict=skip; report="slow: make check-slow"; return; fi
    if [ -z "$EDGE" ] && grep -q '^# edge' "$file"; then verdict=skip; report="other machines: make check-edge"; return; fi
    if ! grep -q '^\$ ' "$file"; then verdict=fail; report="no command: a test begins with \$"; return; fi
    mkdir "$tmp/work"
    transcript "$file" >"$tmp/got"
    if [ -n "$BLESS" ]; then
        if cmp -s "$tmp/got" "$file"; then verdict=pass; else cp "$tmp/got" "$file"; verdict=blessed; fi
    elif ! grep -v -q '^\(\$\|>\|#\)' "$file"; then
        verdict=fail; report="expects nothing: let it print something (cmp a b && echo same), or make bless"
    elif cmp -s "$tmp/got" "$file"; then verdict=pass
    else verdict=fail; report=$(diff -u --label expected --label got "$file" "$tmp/got" | head -n 60)
    fi
}

run_unit() { # C file
    local program=$BUILD/${1%.c}
    if [ ! -x "$program" ]; then verdict=fail; report="not built: ${program#"$ROOT/"}"; return; fi
    mkdir "$tmp/work"
    if [ -z "$SLOW" ] && grep -q '^// slow' "$1"; then verdict=skip; report="slow: make check-slow"; return; fi
    if grep -q '^// plain' "$1" && grep -q __asan_init "$program"; then verdict=skip; report="plain: without sanitizers"; return; fi
    (cd "$tmp/work" && limited "$program" >"$tmp/output")
    local status=$?
    if [ $status = 0 ]; then verdict=pass; else verdict=fail; report="$(tail -n 60 "$tmp/output")"$'\n'"exit $status"; fi
}

if [ "$1" = --one ]; then # results folder, number, test
    test=$3
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/modelc-test.XXXXXX")
    trap 'chmod -R u+rwX "$tmp" 2>/dev/null; rm -rf "$tmp"' EXIT
    export DIR=$ROOT/$(dirname "$test")
    report=
    begin=$(date +%s%N)
    case $test in *.c) run_unit "$test" ;; *) run_test_file "$test" ;; esac
    ms=$((($(date +%s%N) - begin) / 1000000))
    printf '%s %s %s\n' "$verdict" "$ms" "$test" >"$(mktemp "$2/result.XXXXXX")"
    case $verdict in
    fail) printf 'FAIL %s\n%s\n' "$test" "$report" ;;
    skip) printf 'skip %s (%s)\n' "$test" "$report" ;;
    blessed) printf 'blessed %s\n' "$test" ;;
    esac
    exit 0
fi

# ---- all of them -------------------------------------------------------------------------------------------------------------

wanted() { # is $1 among the arguments?
    [ ${#patterns[@]} = 0 ] && return 0
    local p
    for p in "${patterns[@]}"; do [[ $1 == *"$p"* ]] && return 0; done
    return 1
}

patterns=("$@")
results=$(mktemp -d "${TMPDIR:-/tmp}/modelc-results.XXXXXX")
trap 'rm -rf "$results"' EXIT
{
    find tests -name '*.test'
    grep -l '^int main(' tests/*.c tests/*/*.c 2>/dev/null
} | sort | while IFS= read -r test; do wanted "$test" && printf '%s\n' "$test"; done >"$results/tests"

xargs -a "$results/tests" -d '\n' -r -n 1 -P "${JOBS:-2}" "$ROOT/tests/run.sh" --one "$results" >"$results/report"
cat "$results/report"
cat "$results"/result.* 2>/dev/null >"$results/all"
count() { grep -c "^$1 " "$results/all"; }
total=$(wc -l <"$results/tests")
passed=$(($(count pass) + $(count blessed)))
skipped=$(count skip)
failed=$((total - passed - skipped)) # a test that left no result failed too
if [ "$total" != 0 ]; then
    echo "slowest:"
    sort -k2,2nr "$results/all" | head -n 10 | awk '{ printf "%8.2f s  %s\n", $2 / 1000, $3 }'
fi
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$total" != 0 ]

# bench.sh -- the time of a call of each example on the device that is here: with graphs, with single launches, and on this machine's processor.
#   sh bench.sh [cuda:N] [ROUNDS]          Exit status: 0 done, 3 there is no device, or it reported an error.
cd "$(dirname "$0")" || exit 2
export LD_LIBRARY_PATH="$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
device=${1:-cuda} rounds=${2:-30}
# GRAPHS DEVICE NAME ENTRY..: the median, in milliseconds
median() {
    graphs=$1 where=$2 name=$3
    shift 3
    report=$(MDL_GRAPHS=$graphs ./mdlrun "./$name.bench.so" bench "$@" --device "$where" --rounds "$rounds" --json </dev/null) || return
    echo "$report" | sed -n 's/.*"median_ms": \([0-9.e+-]*\).*/\1/p'
}
printf '%-14s %-24s %12s %12s %12s\n' model call "$device, ms" "single, ms" "cpu, ms"
while IFS='|' read -r name batch data entry; do
    there=$(median 1 "$device" "$name" $entry) || exit
    single=$(median 0 "$device" "$name" $entry) || exit
    here=$(median 1 cpu "$name" $entry) || exit
    printf '%-14s %-24s %12s %12s %12s\n' "$name" "$entry" "$there" "$single" "$here"
done < models

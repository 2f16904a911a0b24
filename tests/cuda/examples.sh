# examples.sh -- compiles the examples for devices and prints a table.   sh examples.sh FOLDER-OF-NVRTC [EXAMPLE...]
#
# Of registers, shared memory and spilled bytes it is the most of one kernel. One that spills more than 64 bytes fails (a few are kept around the
# call of a function that divides exactly), and so does one that wants more than a device has (NVRTC says so).
nvrtc=$1
shift
[ $# -gt 0 ] || set -- $(ls examples/*.mdl | sed 's|.*/||; s|\.mdl$||')
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
status=0
printf '%-14s %-7s %8s %10s %10s %8s %8s %8s\n' example device kernels bytes registers shared spilled ms
for name in "$@"; do
    "${BUILD:-build}/modelc" "examples/$name.mdl" --target=cuda:sm_80,cuda:sm_90a,cuda:sm_100,cuda:sm_120 --nvrtc="$nvrtc" -o "$out/m.so" --time >"$out/log" 2>&1 ||
        { cat "$out/log"; status=1; continue; }
    sed -n 's/^nvrtc .* ms  //p' "$out/log" | awk -v name="$name" -F'; ' '{
        kernels = $1 + 0
        for (i = 2; i <= NF; i++) {
            gsub(/[:,]/, "", $i)
            split($i, w, " ")
            printf "%-14s %-7s %8d %10d %10d %8d %8d %8d\n", name, w[1], kernels, w[2], w[4], w[6], w[8], w[10]
            bad += w[8] > 64
        }
        exit bad > 0
    }' || status=1
done
exit $status

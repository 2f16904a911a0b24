# check.sh -- the examples on the device that is here, beside what the processor computed where this folder was made (kit.sh): five steps of
# training each, losses and weights, and the same bits with graphs and without.   sh check.sh [cuda:N]
# Exit status: 0 all agree, 1 something does not, 3 there is no device, or it reported an error.
cd "$(dirname "$0")" || exit 2
export LD_LIBRARY_PATH="$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
device=${1:-cuda} wrong=0 tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT

# The numbers of 32 bits behind the head of a .safetensors.
numbers() {
    od -An -v -tf4 -w4 -j$(($(od -An -tu8 -N8 "$1") + 8)) "$1"
}
while IFS='|' read -r name batch data entry; do
    for graphs in 1 0; do
        MDL_GRAPHS=$graphs ./mdlrun "./$name.so" train $data --device "$device" --steps 5 --batch "$batch" --log "$tmp/$graphs.csv" \
            --save "$tmp/$graphs.safetensors" --quiet </dev/null || exit
    done
    cmp -s "$tmp/0.safetensors" "$tmp/1.safetensors" && bits="the same bits" || { bits="OTHER BITS"; wrong=1; }
    paste -d, "$tmp/1.csv" "$name.csv" | awk -F, -v name="$name" '
        NR == 1 { n = NF / 2; for (i = 1; i <= n; i++) if ($i ~ /loss/) column[i] = 1; next }
        { for (i in column) { all++; d = $i - $(i + n); same += d * d <= 1e-8 * (1 + $(i + n) * $(i + n)) } }
        END { printf "%s: %d of %d losses", name, same, all; exit !(all > 0 && same == all) }' || wrong=1
    numbers "$tmp/1.safetensors" > "$tmp/there"
    numbers "$name.safetensors" > "$tmp/here"
    paste "$tmp/there" "$tmp/here" | awk -v bits="$bits" '
        { d = $1 - $2; if (NF == 2 && ($1 == $2 || d * d <= 1e-8 * (1 + $2 * $2))) same++ }
        END { printf " and %d of %d numbers of the checkpoint agree; with graphs and without %s\n", same, NR, bits; exit !(NR > 0 && same == NR) }' || wrong=1
done < models
exit $wrong

# row.sh -- what the run.sh of every example begins with:   . "$(dirname "$0")/../row.sh"
#
# A folder of examples/ with a run.sh is one example, and `make examples` finds it by itself (E="one two": these alone). run.sh is
# called from the root of the checkout by sh -eu, shows what it does, and says by `row` what came out; its status is not 0 when
# it could not do its work. Results lie in $OUT, the rows in $OUT/rows, one a line: metric, expected, got, seconds, right or wrong.

BUILD=${BUILD:-build}
HERE=$(dirname "$0")
NAME=$(basename "$HERE")
OUT=$BUILD/examples/$NAME
mkdir -p "$OUT"
: >"$OUT/rows"
begin=$(date +%s)

# Shows a command, then runs it.
run() {
    line=
    for word; do
        case $word in *' '*) word="\"$word\"" ;; esac
        line="$line $word"
    done
    printf '\n$%s\n' "$line"
    "$@"
}

# row METRIC LOW HIGH GOT: one row of the table; the seconds are those since the last row.
row() {
    now=$(date +%s)
    awk -v metric="$1" -v low="$2" -v high="$3" -v got="$4" -v s=$((now - begin)) 'BEGIN {
        right = got != "" && got + 0 == got && got + 0 >= low + 0 && got + 0 <= high + 0
        printf "%s\t%s..%s\t%s\t%s\t%s\n", metric, low, high, got == "" ? "nothing" : got, s, right ? "right" : "wrong" }' >>"$OUT/rows"
    begin=$now
}

# The value of RESULT in what `mdlrun eval` printed to a file.
value() { awk -v name="$2" '$1 == name && $2 == "=" { print $3 }' "$1"; }

# The folder of Fashion-MNIST.
fashion_mnist() {
    FASHION=${FASHION:-/usr/share/datasets/fashion-mnist}
    [ -s "$FASHION/train-images-idx3-ubyte.gz" ] && return
    echo "$NAME needs Fashion-MNIST, and $FASHION does not have it; as root, run: apt-get install dataset-fashion-mnist" >&2
    exit 1
}

#!/bin/sh
# demo.sh -- the main job on real input: compiles examples/transformer.mdl, trains it on the King James Bible, measures it on text that
# training never saw, compiles the trained weights for serving, and has that write. `make demo` calls it; everything lands in $BUILD/demo.
set -eu
BUILD=${BUILD:-build}
OUT=$BUILD/demo
MODEL=examples/transformer.mdl
mkdir -p "$OUT"

say() { printf '\n$ %s\n' "$*"; }
run() {
    line=
    for word; do
        case $word in *' '*) word="\"$word\"" ;; esac
        line="$line $word"
    done
    say "${line# }"
    "$@"
}

if [ ! -s "$OUT/kjv.txt" ]; then
    say "bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' > $OUT/kjv.txt"
    bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' >"$OUT/kjv.tmp" # a line is a verse; its label goes
    mv "$OUT/kjv.tmp" "$OUT/kjv.txt"
fi

run "$BUILD/modelc" "$MODEL" -o "$OUT/transformer.so"
run "$BUILD/mdlrun" "$OUT/transformer.so" train --data "$OUT" --save "$OUT/trained.safetensors" --plot "$OUT/loss.png"
run "$BUILD/mdlrun" "$OUT/transformer.so" eval evaluate "ids=$OUT/kjv.txt@90%:" --batch 64 --load "$OUT/trained.safetensors"
run "$BUILD/modelc" "$MODEL" --load="$OUT/trained.safetensors" --entries=prefill,decode -o "$OUT/transformer-infer.so"
run "$BUILD/mdlrun" "$OUT/transformer-infer.so" generate --prompt "And it came to pass" -n 400 --temperature 0.8 --seed 1
printf '\nThe loss curve is in %s.\n' "$OUT/loss.png"

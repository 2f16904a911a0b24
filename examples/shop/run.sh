# run.sh -- pretrains a small decoder on the Bible, asks it a shop's letters, trains it on answered letters, and asks again: letters that
# no training saw. An answer counts when it is right to the last byte.
. "$(dirname "$0")/../row.sh"
bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' >"$OUT/kjv.txt"
perl "$HERE/pairs.pl" "$OUT"
exact() { awk '$1 == "exact" { printf "%.1f", 100 * $3 }' "$1"; }

run "$BUILD/modelc" "$HERE/shop.mdl" -D base.context=128 -o "$OUT/shop.so"
run "$BUILD/mdlrun" "$OUT/shop.so" train read "ids=$OUT/kjv.txt" n=65 --batch 16 --steps 1500 --seed 1 --save "$OUT/reader.safetensors"
run "$BUILD/mdlrun" "$OUT/shop.so" eval evaluate "ids=$OUT/test.csv:text" --load "$OUT/reader.safetensors" >"$OUT/before"
cat "$OUT/before"
row "before, percent exact" 0 1 "$(exact "$OUT/before")"
run "$BUILD/mdlrun" "$OUT/shop.so" train answer "ids=$OUT/train.csv:text" --load "$OUT/reader.safetensors" --batch 32 --steps 1500 --seed 1 \
    --test evaluate --test-data "ids=$OUT/test.csv:text" --save "$OUT/trained.safetensors"
run "$BUILD/mdlrun" "$OUT/shop.so" eval evaluate "ids=$OUT/test.csv:text" --load "$OUT/trained.safetensors" >"$OUT/after"
cat "$OUT/after"
row "after, percent exact" 90 100 "$(exact "$OUT/after")"

# The same by writing: every tenth letter is answered byte by byte, and compared with the answer that was kept apart.
run "$BUILD/modelc" "$HERE/shop.mdl" -D base.context=128 --load="$OUT/trained.safetensors" --entries=prefill,decode -o "$OUT/answer.so"
tab=$(printf '\t')
asked=0 right=0
sed -n 's/^"//; /\t/p' "$OUT/test.csv" | awk 'NR % 10 == 1' >"$OUT/letters"
while IFS=$tab read -r letter answer; do
    got=$("$BUILD/mdlrun" "$OUT/answer.so" generate --prompt "$letter$tab" -n 80 --temperature 0 --quiet | head -n 1)
    asked=$((asked + 1))
    printf '\n> %s\n%s\n' "$letter" "$got"
    if [ "$got" = "$answer" ]; then right=$((right + 1)); else echo "(meant: $answer)"; fi
done <"$OUT/letters"
row "written right, of $asked" $((asked * 85 / 100)) $asked $right

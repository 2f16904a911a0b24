# run.sh -- compiles a sentence encoder with its published weights, checks its vectors against PyTorch's, makes the vectors of all
# verses of the New Testament, compiles them into a library that finds verses by meaning, and asks it (search.sh).
# VERSES=gen1:1-rev22:21 takes the whole Bible, which takes four times as long.
. "$(dirname "$0")/../row.sh"
. "$HERE/../texts.sh"
minilm

run "$BUILD/modelc" "$HERE/minilm.mdl" -D weights="$MINILM/model.safetensors" -o "$OUT/minilm.so"
run "$BUILD/mdlrun" "$OUT/minilm.so" eval embed "ids=$HERE/sentences.csv:text" --tokenizer "$MINILM/vocab.txt" --out "$OUT/check"
row "difference from PyTorch" 0 1e-5 "$(perl "$HERE/worst.pl" "$OUT/check/sentence.npy" "$HERE/expected.npy")"

# Verses by length: sentences of one length go together, and little is padded.
bible -f "${VERSES:-mat1:1-rev22:21}" | awk '{ print length($0) "\t" $0 }' | sort -s -n | cut -f 2- >"$OUT/verses.txt"
{ echo text; sed 's/^[^ ]* //; s/"/""/g; s/.*/"&"/' "$OUT/verses.txt"; } >"$OUT/verses.csv"
run "$BUILD/mdlrun" "$OUT/minilm.so" eval embed "ids=$OUT/verses.csv:text" --tokenizer "$MINILM/vocab.txt" --batch 32 --out "$OUT/index"
run perl "$HERE/index.pl" "$OUT/index/sentence.npy" "$OUT/index.safetensors"
run "$BUILD/modelc" "$HERE/minilm.mdl" -D weights="$MINILM/model.safetensors" -D index="$(pwd)/$OUT/index.safetensors" \
    -D count="$(wc -l <"$OUT/verses.txt")" --entries=search -o "$OUT/search.so"

# The encoder in 8 bits, with activations as floats and in 8 bits too: its size, the vectors of 1,000 verses beside those of
# f32, and what 100 verses of the Psalms and the Proverbs find among them.
run "$BUILD/modelc" "$HERE/minilm.mdl" -D weights="$MINILM/model.safetensors" --quantize='net except net.kinds: int8' -o "$OUT/minilm8.so"
csv() { echo text; sed 's/^[^ ]* //; s/"/""/g; s/.*/"&"/'; }
awk 'NR % 7 == 1' "$OUT/verses.txt" | head -1000 | csv >"$OUT/some.csv"
bible -f psa1:1-pro31:31 | awk 'NR % 30 == 1' | head -100 | csv >"$OUT/asked.csv"
run "$BUILD/modelc" "$HERE/minilm.mdl" -D weights="$MINILM/model.safetensors" --quantize='net except net.kinds: int8(activations = "dynamic")' \
    -o "$OUT/minilm8x8.so"
for encoder in minilm minilm8 minilm8x8; do
    for texts in some asked; do
        run "$BUILD/mdlrun" "$OUT/$encoder.so" eval embed "ids=$OUT/$texts.csv:text" --tokenizer "$MINILM/vocab.txt" --batch 32 --out "$OUT/$encoder-$texts"
    done
done
row "int8: bytes, % of f32" 20 27 "$((100 * $(wc -c <"$OUT/minilm8.so") / $(wc -c <"$OUT/minilm.so")))"
agree() { perl "$HERE/agree.pl" "$OUT"/minilm-some/sentence.npy "$OUT/$1-some/sentence.npy" "$OUT"/minilm-asked/sentence.npy "$OUT/$1-asked/sentence.npy"; }
set -- $(agree minilm8)
row "int8: least cosine of 1,000 verses" 0.995 1 "$1"
row "int8: same verses among the first five, %" 95 100 "$2"
set -- $(agree minilm8x8)
row "int8, dynamic: least cosine of 1,000 verses" 0.995 1 "$1"
row "int8, dynamic: same among the first five, %" 90 100 "$2"

# Questions in other words than the Bible's, and the verses that tell of it. Found: one of these is among the first five. A search by
# shared words has to do worse, or meaning would be nothing to look for.
words=$(perl "$HERE/words.pl" "$OUT/verses.txt" "$HERE/questions.txt")
echo "answered by shared words: $words"
found=0 asked=0
while IFS='|' read -r question verses; do
    asked=$((asked + 1))
    run sh "$HERE/search.sh" "$question" >"$OUT/answer"
    cat "$OUT/answer"
    hit=
    for verse in $verses; do
        if grep -q " $verse " "$OUT/answer"; then hit=$verse; fi
    done
    if [ -n "$hit" ]; then found=$((found + 1)); else echo "not found: $verses"; fi
done <"$HERE/questions.txt"
row "answered by meaning, of $asked" $((words + 1)) $asked "$found"

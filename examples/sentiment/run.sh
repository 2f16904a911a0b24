# run.sh -- trains an LSTM over frozen word vectors on rated sentences of film reviews for ten epochs, with a test after each, and lets
# it judge sentences that are typed (verdict.sh).
. "$(dirname "$0")/../row.sh"
. "$HERE/../texts.sh"
minilm
reviews

run "$BUILD/modelc" "$HERE/sentiment.mdl" -D vectors="$MINILM/model.safetensors" -o "$OUT/sentiment.so"
run "$BUILD/mdlrun" "$OUT/sentiment.so" train --data "$OUT" --tokenizer "$MINILM/vocab.txt" --log "$OUT/log.csv" --save "$OUT/trained.safetensors"
row "test accuracy in percent" 79 83 "$(percent "$OUT/log.csv" test_acc)"
row "test F1 in percent" 78 83 "$(percent "$OUT/log.csv" test_f1)"

for scheme in float int8; do
    set -- --quantize="net: $scheme"
    if [ $scheme = float ]; then set --; fi
    run "$BUILD/modelc" "$HERE/sentiment.mdl" --load="$OUT/trained.safetensors" --entries=evaluate "$@" -o "$OUT/$scheme.so"
    run "$BUILD/mdlrun" "$OUT/$scheme.so" eval evaluate --data "$OUT" --tokenizer "$MINILM/vocab.txt" >"$OUT/$scheme.eval"
done
row "int8: points of accuracy lost" -1 0.5 "$(awk -v a="$(value "$OUT/float.eval" acc)" -v b="$(value "$OUT/int8.eval" acc)" 'BEGIN { printf "%.2f", 100 * (a - b) }')"

run "$BUILD/modelc" "$HERE/sentiment.mdl" --load="$OUT/trained.safetensors" --entries=predict -o "$OUT/verdict.so"
run sh "$HERE/verdict.sh" "a warm, funny and moving film that you will not forget"
run sh "$HERE/verdict.sh" "two hours of my life that nobody will give back to me"

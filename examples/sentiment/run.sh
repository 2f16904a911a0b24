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

run "$BUILD/modelc" "$HERE/sentiment.mdl" --load="$OUT/trained.safetensors" --entries=predict -o "$OUT/verdict.so"
run sh "$HERE/verdict.sh" "a warm, funny and moving film that you will not forget"
run sh "$HERE/verdict.sh" "two hours of my life that nobody will give back to me"

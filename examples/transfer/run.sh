# run.sh -- the sentences of examples/sentiment judged by a pretrained encoder: frozen with a new head, then with a new head and LoRA.
. "$(dirname "$0")/../row.sh"
. "$HERE/../texts.sh"
minilm
reviews
tokens="--tokenizer $MINILM/vocab.txt"

run "$BUILD/modelc" "$HERE/transfer.mdl" -D weights="$MINILM/model.safetensors" -o "$OUT/transfer.so"
for part in train test; do
    run "$BUILD/mdlrun" "$OUT/transfer.so" eval features "ids=$OUT/$part.csv:text" $tokens --out "$OUT/$part"
done
run "$BUILD/mdlrun" "$OUT/transfer.so" train fit "x=$OUT/train/x.npy" "y=$OUT/train.csv:positive" --epochs 10 --seed 1 \
    --test evaluate_head --test-data "x=$OUT/test/x.npy y=$OUT/test.csv:positive" --log "$OUT/head.csv" --save "$OUT/head.safetensors"
row "a new head, test accuracy" 75 80 "$(percent "$OUT/head.csv" test_acc)"

run "$BUILD/mdlrun" "$OUT/transfer.so" train step "ids=$OUT/train.csv:text" "y=$OUT/train.csv:positive" $tokens --seed 1 \
    --batch 16 --steps 750 --test evaluate --test-data "ids=$OUT/test.csv:text y=$OUT/test.csv:positive" --test-every 375 \
    --log "$OUT/lora.csv" --save "$OUT/lora.safetensors"
row "LoRA, test accuracy" 84 88 "$(percent "$OUT/lora.csv" test_acc)"
row "LoRA, test F1" 83 88 "$(percent "$OUT/lora.csv" test_f1)"

run "$BUILD/modelc" "$HERE/transfer.mdl" --load="$OUT/lora.safetensors" --entries=predict -o "$OUT/verdict.so"
run "$BUILD/mdlrun" "$OUT/verdict.so" run predict ids="text:a warm, funny and moving film that you will not forget" $tokens
run "$BUILD/mdlrun" "$OUT/verdict.so" run predict ids="text:two hours of my life that nobody will give back to me" $tokens

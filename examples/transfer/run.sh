# run.sh -- the sentences of examples/sentiment judged by a pretrained encoder: frozen under an LSTM, then with a new head and LoRA.
. "$(dirname "$0")/../row.sh"
. "$HERE/../texts.sh"
minilm
reviews
tokens="--tokenizer $MINILM/vocab.txt"

run "$BUILD/modelc" "$HERE/transfer.mdl" -D weights="$MINILM/model.safetensors" -o "$OUT/transfer.so"
data="ids=$OUT/train.csv:text y=$OUT/train.csv:positive"
run "$BUILD/mdlrun" "$OUT/transfer.so" train fit $data $tokens --batch 32 --steps 1000 --seed 1 --test evaluate_reader \
    --test-data "ids=$OUT/test.csv:text y=$OUT/test.csv:positive" --test-every 1000 --log "$OUT/head.csv" --save "$OUT/head.safetensors"
row "frozen encoder, test accuracy" 81 85 "$(percent "$OUT/head.csv" test_acc)"

run "$BUILD/mdlrun" "$OUT/transfer.so" train step "ids=$OUT/train.csv:text" "y=$OUT/train.csv:positive" $tokens --seed 1 \
    --batch 16 --steps 750 --test evaluate --test-data "ids=$OUT/test.csv:text y=$OUT/test.csv:positive" --test-every 375 \
    --log "$OUT/lora.csv" --save "$OUT/lora.safetensors"
row "LoRA, test accuracy" 84 88 "$(percent "$OUT/lora.csv" test_acc)"
row "LoRA, test F1" 83 88 "$(percent "$OUT/lora.csv" test_f1)"

run "$BUILD/modelc" "$HERE/transfer.mdl" --load="$OUT/lora.safetensors" --entries=predict -o "$OUT/verdict.so"
run "$BUILD/mdlrun" "$OUT/verdict.so" run predict ids="text:a warm, funny and moving film that you will not forget" $tokens
run "$BUILD/mdlrun" "$OUT/verdict.so" run predict ids="text:two hours of my life that nobody will give back to me" $tokens

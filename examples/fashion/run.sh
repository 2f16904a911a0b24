# run.sh -- trains mlp.mdl and ../fashion_cnn.mdl on Fashion-MNIST for five epochs each, and draws whom they take for whom.
. "$(dirname "$0")/../row.sh"
fashion_mnist

# classifier NAME MODEL LOW HIGH: percent of the test set.
classifier() {
    run "$BUILD/modelc" "$2" -D epochs=5 -o "$OUT/$1.so"
    run "$BUILD/mdlrun" "$OUT/$1.so" train --data "$FASHION" --save "$OUT/$1.safetensors" --plot "$OUT/$1.png"
    run "$BUILD/mdlrun" "$OUT/$1.so" eval predict "x=$FASHION/t10k-images-idx3-ubyte.gz" --load "$OUT/$1.safetensors" \
        --confusion "label:$FASHION/t10k-labels-idx1-ubyte.gz=$OUT/$1-confusion.png"
    run "$BUILD/mdlrun" "$OUT/$1.so" eval evaluate --data "$FASHION" --load "$OUT/$1.safetensors" >"$OUT/$1.eval"
    cat "$OUT/$1.eval"
    row "$1, test accuracy in percent" "$3" "$4" "$(value "$OUT/$1.eval" acc | awk '{ printf "%.2f", 100 * $1 }')"
}

classifier mlp "$HERE/mlp.mdl" 86 90
classifier cnn "$HERE/../fashion_cnn.mdl" 90.5 93

# Its weights in 8 bits, codes chosen by 512 pictures of the training: percent of the test set lost, on all 10,000.
run "$BUILD/modelc" "$HERE/../fashion_cnn.mdl" --load="$OUT/cnn.safetensors" --entries=evaluate --report \
    --quantize="net: int8(method = \"gptq\", samples = 512, calibrate = \"x=$FASHION/train-images-idx3-ubyte.gz y=$FASHION/train-labels-idx1-ubyte.gz\")" \
    -o "$OUT/cnn8.so"
run "$BUILD/mdlrun" "$OUT/cnn8.so" eval evaluate --data "$FASHION" >"$OUT/cnn8.eval"
row "cnn in int8, points lost" -1 0.3 "$(awk -v a="$(value "$OUT/cnn.eval" acc)" -v b="$(value "$OUT/cnn8.eval" acc)" 'BEGIN { printf "%.2f", 100 * (a - b) }')"

# The dense layers trained for 4 bits.
run "$BUILD/modelc" "$HERE/mlp.mdl" -D bits=int4 -o "$OUT/mlp4.so"
run "$BUILD/mdlrun" "$OUT/mlp4.so" train --data "$FASHION" --save "$OUT/mlp4.safetensors"
run "$BUILD/modelc" "$HERE/mlp.mdl" --load="$OUT/mlp4.safetensors" --entries=evaluate --quantize='net: int4(group = 112)' -Wno-padded-groups -o "$OUT/mlp4.so"
run "$BUILD/mdlrun" "$OUT/mlp4.so" eval evaluate --data "$FASHION" >"$OUT/mlp4.eval"
row "mlp trained for int4, points lost" -1.5 0.3 "$(awk -v a="$(value "$OUT/mlp.eval" acc)" -v b="$(value "$OUT/mlp4.eval" acc)" 'BEGIN { printf "%.2f", 100 * (a - b) }')"

# run.sh -- trains vae.mdl on Fashion-MNIST and draws samples after every epoch and reconstructions of the test set.
. "$(dirname "$0")/../row.sh"
fashion_mnist

run "$BUILD/modelc" "$HERE/vae.mdl" -o "$OUT/vae.so"
run "$BUILD/mdlrun" "$OUT/vae.so" train --data "$FASHION" --look look --image "pictures=$OUT/samples-{epoch}.png" \
    --save "$OUT/vae.safetensors" --plot "$OUT/loss.png"
run "$BUILD/mdlrun" "$OUT/vae.so" eval reconstruct "x=$FASHION/t10k-images-idx3-ubyte.gz@:32" --load "$OUT/vae.safetensors" \
    --image "pictures=$OUT/reconstructions.png"
run "$BUILD/mdlrun" "$OUT/vae.so" eval evaluate --data "$FASHION" --load "$OUT/vae.safetensors" >"$OUT/eval"
cat "$OUT/eval"
row "test bound in nats a picture" 238 250 "$(value "$OUT/eval" loss)"

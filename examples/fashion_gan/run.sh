# run.sh -- trains gan.mdl on Fashion-MNIST; after every epoch a grid of what the generator makes of the same noise.
. "$(dirname "$0")/../row.sh"
fashion_mnist

run "$BUILD/modelc" "$HERE/gan.mdl" -o "$OUT/gan.so"
run "$BUILD/mdlrun" "$OUT/gan.so" train --data "$FASHION" --look look --image "pictures=$OUT/pictures-{epoch}.png" \
    --save "$OUT/gan.safetensors" --plot "$OUT/losses.png" --log "$OUT/losses.csv"
# Neither side has won: means over the last 200 steps.
tail -n 200 "$OUT/losses.csv" | awk -F, '{ d += $3; g += $4 } END { printf "d_loss = %.3f\ng_loss = %.3f\n", d / NR, g / NR }' >"$OUT/end"
cat "$OUT/end"
row "critic's loss at the end" 0.05 1.38 "$(value "$OUT/end" d_loss)"
row "generator's loss at the end" 0.7 6 "$(value "$OUT/end" g_loss)"

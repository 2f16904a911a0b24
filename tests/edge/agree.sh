# agree.sh -- one of the examples, compiled for a target and for x86-64-v2, called with the same inputs, compared:
#     [QUANTIZE="net: int8()"] sh agree.sh TARGET MODEL ENTRY:SIZES:TIMES...        in a fresh folder; QUANTIZE: the decoder alone
target=$1 model=$2
shift 2
caller=./call-target there=there.so
case $target in
aarch64-*) gcc=aarch64-linux-gnu-gcc run="qemu-aarch64-static -L /usr/aarch64-linux-gnu" ;;
armv7-*) gcc=arm-linux-gnueabihf-gcc run="qemu-arm-static -cpu cortex-a7 -L /usr/arm-linux-gnueabihf" ;;
riscv64-*+v) gcc=riscv64-linux-gnu-gcc run="qemu-riscv64-static -cpu rv64,v=true,vlen=128 -L /usr/riscv64-linux-gnu" ;;
riscv64-*) gcc=riscv64-linux-gnu-gcc run="qemu-riscv64-static -cpu rv64,v=false -L /usr/riscv64-linux-gnu" ;;
wasm32) run=node caller=$DIR/call.mjs there=there.wasm ;;
*) echo "agree.sh does not know $target"; exit 2 ;;
esac
cp "$DIR/call.c.txt" call.c && cp "$ROOT/runtime/mdl.h" . &&
    { [ -x call ] || gcc -O1 -Wall -Wextra -Werror call.c -o call -ldl -lm; } &&
    { [ $target = wasm32 ] || [ -x call-target ] || $gcc -O1 -Wall -Wextra -Werror call.c -o call-target -ldl -lm; } &&
    modelc "$ROOT/examples/$model.mdl" ${QUANTIZE:+"--quantize=$QUANTIZE" --entries=prefill,decode} --target=x86-64-v2 -o here.so &&
    modelc "$ROOT/examples/$model.mdl" ${QUANTIZE:+"--quantize=$QUANTIZE" --entries=prefill,decode} --target="$target" -o $there || exit
./call ./here.so "$@" >here.txt || { cat here.txt; exit 1; }
$run $caller ./$there "$@" >there.txt || { tail -n 3 there.txt; exit 1; }
echo "$model${QUANTIZE:+, $QUANTIZE}: $(./call --compare here.txt there.txt 1e-4)"

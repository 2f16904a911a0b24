# bare.sh -- as agree.sh, on a Cortex-M4 without a system:     [QUANTIZE=...] sh bare.sh MODEL[:ENTRIES] ENTRY:SIZES:TIMES...
target=thumbv7em-none-eabihf model=${1%%:*}
case $1 in *:*) entries=--entries=${1#*:} ;; esac
shift
calls=$(printf ', "%s"' "$@")
clang=/usr/bin/clang-19
cp "$DIR/call.c.txt" call.c && cp "$ROOT/runtime/mdl.h" "$DIR/bare.h" "$DIR/bare.ld" . &&
    { [ -x call ] || gcc -O1 -Wall -Wextra -Werror call.c -o call -ldl -lm; } &&
    modelc "$ROOT/examples/$model.mdl" $entries ${QUANTIZE:+"--quantize=$QUANTIZE"} --target=x86-64-v2 -o here.so &&
    modelc "$ROOT/examples/$model.mdl" $entries ${QUANTIZE:+"--quantize=$QUANTIZE"} --target=$target -o model.a &&
    $clang --target=$target -mcpu=cortex-m4 -ffreestanding -nostdlibinc -O1 -Wall -Wextra -Werror -DBARE -DMODEL="${model}_model" \
        -DCALLS="${calls#, }" -c call.c -o call.o &&
    sh "$DIR/parts.sh" thumbv7em text memory arm double &&
    /usr/lib/llvm-19/bin/ld.lld --gc-sections -T bare.ld call.o model.a text.o memory.o arm.o double.o -o image.elf || exit
./call ./here.so "$@" >here.txt || { cat here.txt; exit 1; }
timeout 200 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none -semihosting -kernel image.elf >there.txt 2>&1 ||
    { tail -n 3 there.txt; exit 1; }
echo "$model${QUANTIZE:+, $QUANTIZE}: $(./call --compare here.txt there.txt 1e-4)"

# bare_sums.sh -- arithmetic.c on a Cortex-M4, whose doubles and long divisions are functions of the runtime, against x86-64.
cp "$DIR/arithmetic.c.txt" sums.c && cp "$ROOT/runtime/mdl.h" "$DIR/bare.h" "$DIR/bare.ld" . &&
    gcc -O1 -ffp-contract=off -Wall -Wextra -Werror sums.c -o sums -lm && ./sums >here.txt &&
    /usr/bin/clang-19 --target=thumbv7em-none-eabihf -mcpu=cortex-m4 -ffreestanding -nostdlibinc -O1 -ffp-contract=off \
        -Wno-unused-function -Werror -DBARE -DMODEL=nothing -DCALLS='""' -c sums.c -o sums.o &&
    sh "$DIR/parts.sh" thumbv7em text memory arm double &&
    /usr/lib/llvm-19/bin/ld.lld --gc-sections -T bare.ld sums.o text.o memory.o arm.o double.o -o sums.elf &&
    qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none -semihosting -kernel sums.elf >there.txt 2>&1 &&
    cmp here.txt there.txt && wc -l <there.txt

# parts.sh -- objects of parts of the runtime, for programs that have no libc or compare with one:   sh parts.sh TARGET NAME...
target=$1
shift
case $target in
thumbv7em) flags='--target=thumbv7em-none-eabihf -mcpu=cortex-m4 -fno-pic' ;;
armv7) flags='--target=armv7-linux-gnueabihf -mcpu=cortex-a7 -mfpu=neon-vfpv4 -fPIC' ;;
*) echo "parts.sh: no target $target" >&2; exit 2 ;;
esac
for name; do
    /usr/bin/clang-19 $flags -Os -ffunction-sections -ffp-contract=off -c $BUILD/artifact/$target/runtime/core/$name.bc -o $name.o || exit
done

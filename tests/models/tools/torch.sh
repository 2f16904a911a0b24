# torch.sh PROGRAM [OPTION]... -- compiles an example with the options and compares with PROGRAM.safetensors: its gradients, without
# optimization and with; five steps of SGD, five of AdamW; the results of its other entries, without optimization and with.
# With -q in front only what is optimized: for programs that take long. Environment: EXPECTED, a name that is not the program's;
# RATE, of SGD; LEVEL, of the gradient's code.
here=$(dirname "$0") quick=
if [ "$1" = -q ]; then quick=1; shift; fi
program=$1
shift
expected=$here/../${EXPECTED:-$program}.safetensors
$CC -std=gnu11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -I"$ROOT" "$here/agree.c" "$ROOT/runtime/host/safetensors.c" "$ROOT/runtime/core/text.c" -o agree -ldl -lm || exit 1
agree() { ./agree ./m.so "$expected" "$1"; }
make() { sh "$here/vary.sh" "$program" "$1" >m.mdl && shift && modelc m.mdl -o m.so "$@"; }
if [ -z "$quick" ]; then echo -O0; make gradient -O0 "$@"; fi
if [ -n "$quick" ] || grep -q '^train' m.mdl; then
    [ -n "$quick" ] || { agree gradient && agree calls; }
    echo ${LEVEL:--O2}; make gradient ${LEVEL:--O2} --entries=step "$@" && agree gradient
    make sgd --entries=step "$@" && agree sgd
    if grep -q '"loss.adamw"' "$expected"; then make adamw "$@" && agree adamw; else make sgd "$@"; fi && agree calls
else
    agree calls
    echo -O2; make gradient "$@" && agree calls
fi

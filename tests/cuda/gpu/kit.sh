# kit.sh -- what a machine with a device needs to check and to time the examples on it, made on one that has none:
#
#   sh kit.sh FOLDER NVRTC [EXAMPLE...]       with ROOT, and modelc and mdlrun on the PATH; TARGET=cuda:sm_80,cuda:sm_90a
#
#   FOLDER/NAME.so              an example with code for devices and for any x86-64 of 2015 on
#          NAME.csv, .safetensors   losses of five steps of training, and the weights after them, as the processor computed them here
#          NAME.bench.so, .entry    the example in the size that is timed, and the call
#          d/*.npy              what the trainings read
#          mdlrun, lib/         the command and the libraries that it was linked with, but libc
#          models, check.sh, bench.sh
#
# A device's machine needs NVIDIA's driver, a shell, awk and od; nothing is installed there. A model whose files are younger than modelc is not
# made again.
here=$(dirname "$0")
out=$1 nvrtc=$2
shift 2
target=x86-64-v3,${TARGET:-cuda:sm_80,cuda:sm_90a}
mkdir -p "$out/d" "$out/lib" || exit
modelc=$(command -v modelc) mdlrun=$(command -v mdlrun)
fail() {
    echo "kit.sh: $*" >&2
    exit 1
}
modelc run "$here/data.mdl" data --out "$out/d" --quiet || fail "no data"
cp "$mdlrun" "$here/check.sh" "$here/bench.sh" "$out" || exit
ldd "$mdlrun" | awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libpthread|libdl|librt)\.so/ { print $3 }' | while read -r library; do cp -L "$library" "$out/lib" || exit; done
: > "$out/models"
grep -v '^#' "$here/models" | while IFS='|' read -r name small batch data large entry; do
    case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
    echo "$name|$batch|$data|$entry" >> "$out/models"
    [ "$out/$name.bench.so" -nt "$modelc" ] && [ "$out/$name.bench.so" -nt "$here/models" ] && continue
    echo "$name"
    rm -f "$out/$name".*
    modelc "$ROOT/examples/$name.mdl" $small --name="$name" --target="$target" --nvrtc="$nvrtc" -o "$out/$name.so" || exit
    modelc "$ROOT/examples/$name.mdl" $large --name="$name" --target="$target" --nvrtc="$nvrtc" -o "$out/$name.bench.so" || exit
    (cd "$out" && mdlrun "./$name.so" train $data --device cpu --steps 5 --batch "$batch" --log "$name.csv" --save "$name.safetensors" --quiet) || exit
done || fail "not made"

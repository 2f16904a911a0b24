# setup.sh -- a small transformer (its run { } without a test) and inputs for it: sourced by the tests of this folder. vocab 64, context 16.
sed "/^    test/d" "$ROOT/examples/transformer.mdl" > transformer.mdl
modelc transformer.mdl -D layers=1 -D heads=2 -D d=16 -D vocab=64 -D context=16 -D dropout=0.1 -o t.so || exit

cat > array <<'END'
#!/bin/sh
# array FILE SHAPE NUMBER...: an .npy of i32
file=$1 shape=$2
shift 2
exec perl "$ROOT/tests/mdlrun/npy.pl" "$file" '<i4' "$shape" "$@"
END
chmod +x array
./array rows.npy 2,9 1 2 3 4 5     # for step and evaluate
./array prompt.npy 1,4 1 2 3 4     # for prefill and generate
./array one.npy 1 7                # for decode

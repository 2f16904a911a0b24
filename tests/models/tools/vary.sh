# vary.sh PROGRAM gradient|sgd|adamw -- an example as make_expected.py trains it: the optimizer replaced, nothing clipped or
# accumulated, no dropout, nothing frozen. To standard output.
case $2 in
gradient) matrices='SGD(lr = 1.0)' vectors=$matrices ;; # one step: the gradient is what the weights lose
sgd) matrices='SGD(lr = 0.1)' vectors=$matrices ;;
adamw) matrices='AdamW(lr = 1e-3, beta2 = 0.99, decay = 0.1)' vectors='AdamW(lr = 1e-3, beta2 = 0.99, decay = 0.0)' ;;
*) echo "vary.sh: gradient, sgd or adamw?" >&2; exit 2 ;;
esac

# The optimizers opt and plain by $1 (an instance of each stands for the program's), the dropouts, and what else differs.
vary() { # further commands of sed
    sed -E "s/^opt +=.*/opt = $matrices; plain = $vectors;/; s/^(plain|opt1) +=.*//; s/using opt1/using plain/
        s/(Dropout\(|dropout = )0\.[0-9]+/\10.0/; s/clip_norm = [0-9.]+/clip_norm = 1e9/; s/accumulate = [0-9]+/accumulate = 1/; s/^freeze .*//
        s|^import \"|&$ROOT/examples/|; $2" "$ROOT/examples/$1.mdl"
}

by_rank='s/over ([a-z]+) using opt/over matrices(\1) using opt, over vectors(\1) using plain/'
case $1 in
transformer | gpt | bert | llama) vary "$1" ;;
mlp | lstm_text) vary "$1" "$by_rank" ;;
lora) vary lora ;;
vae) # the loss is a sum over pixels: scaled, so that steps of 0.1 are small
    vary vae 's/over enc, dec using opt/over matrices(enc, dec) using opt, over vectors(enc, dec) using plain/
        s/let loss = (.*);/let loss = 0.001 * (\1);/' ;;
*) echo "vary.sh: no program $1" >&2; exit 2 ;;
esac

# vary.sh PROGRAM gradient|sgd|adamw -- an example as make_expected.py trains it: the optimizer replaced, nothing clipped or
# accumulated, no dropout, nothing frozen. To standard output. Environment: PRECISION, settings of that block.
case $2 in
gradient) matrices='SGD(lr = 1.0)' vectors=$matrices ;; # one step: the gradient is what the weights lose
sgd) matrices="SGD(lr = ${RATE:-0.1})" vectors=$matrices ;;
adamw) matrices='AdamW(lr = 1e-3, beta2 = 0.99, decay = 0.1)' vectors='AdamW(lr = 1e-3, beta2 = 0.99, decay = 0.0)' ;;
*) echo "vary.sh: gradient, sgd or adamw?" >&2; exit 2 ;;
esac

case $1 in
fashion_cnn | resnet | mobilenet | gan | multitask) # deep, and normalized over few values: smaller steps
    matrices=$(echo "$matrices" | sed 's/lr = 0\.1)/lr = 0.01)/') vectors=$(echo "$vectors" | sed 's/lr = 0\.1)/lr = 0.01)/') ;;
esac

# The optimizers opt and plain by $1 (an instance of each stands for the program's), the dropouts, and what else differs.
vary() { # further commands of sed
    sed -E "s/^opt +=.*/opt = $matrices; plain = $vectors;/; s/^(plain|opt1) +=.*//; s/using opt1/using plain/
        s/(Dropout\(|dropout = )0\.[0-9]+/\10.0/; s/clip_norm = [0-9.]+/clip_norm = 1e9/; s/accumulate = [0-9]+/accumulate = 1/; s/^freeze .*//
        s|^import \"|&$ROOT/examples/|; $2" "$ROOT/examples/$1.mdl"
}

by_rank='s/over ([a-z]+) using opt/over matrices(\1) using opt, over vectors(\1) using plain/'
case $1 in
transformer | gpt | bert) vary "$1" ;;
mlp | lstm_text) vary "$1" "$by_rank" ;;
seq2seq) # the end is word 7: made weights say it; with the chances of every word
    vary seq2seq "$by_rank; s/^const eos = .*/const eos = 7;/"
    cat <<'END'
entry read[b, s in 1..context, n in 1..context](src: i32[b, s], dst: i32[b, n]) -> (probs: f32[b, n, vocab]) {
    return softmax(net.decode(dst, net.encode(src), src != pad));
}
END
    ;;
stream_gru) # its noise stays; with a clip at once
    vary stream_gru "$by_rank"
    cat <<'END'
entry whole[b, t in 1..500](clip: float[b, t, bands]) -> (probs: float[b, words]) { return softmax(net(clip)); }
END
    ;;
llama) # with a step of training
    vary llama
    echo "opt = $matrices; plain = $vectors;"
    cat <<'END'
train step[b, t in 2..context](ids: i32[b, t]) -> (loss: f32) {
    let loss = cross_entropy(model(ids[:, :-1]), ids[:, 1:]);
    minimize loss over matrices(model) using opt, over vectors(model) using plain;
    return loss;
}
END
    ;;
lora) vary lora ;;
vae) # the loss is a sum over pixels: scaled, so that steps of 0.1 are small
    vary vae 's/over enc, dec using opt/over matrices(enc, dec) using opt, over vectors(enc, dec) using plain/
        s/let loss = (.*);/let loss = 0.001 * (\1);/' ;;
fashion_cnn) # augmentation and dropout stay; adamw: the program itself
    [ "$2" = adamw ] && cat "$ROOT/examples/fashion_cnn.mdl" || sed -E "s/^opt = .*/opt = $matrices;/" "$ROOT/examples/fashion_cnn.mdl" ;;
resnet) vary resnet 's/batch, 3, 224, 224/batch, 3, height, width/' ;;
mobilenet) # with a step of training
    vary mobilenet
    echo "opt = $matrices; plain = $vectors;"
    cat <<'END'
train step(x: float[batch, 3, size, size], y: i32[batch]) -> (loss: f32) {
    let loss = cross_entropy(net(x), y);
    minimize loss over matrices(net) using opt, over vectors(net) using plain;
    return loss;
}
END
    ;;
gan) # adamw: the program itself
    [ "$2" = adamw ] && matrices='Adam(lr = 2e-4, beta1 = 0.5)'
    sed -E "s/^([gd]_opt) = .*/\1 = $matrices;/" "$ROOT/examples/gan.mdl" ;;
multitask) # dropout and what is frozen stay; adamw: the program's optimizers, faster
    sed -E "s|^import \"|&$ROOT/examples/|; s/warmup = 1k/warmup = 10/; s/lr = 1e-5/lr = 1e-4/" "$ROOT/examples/multitask.mdl" |
        if [ "$2" = adamw ]; then cat; else sed -E "s/^(slow|fast) = .*/\1 = $matrices;/"; fi ;;
*) echo "vary.sh: no program $1" >&2; exit 2 ;;
esac
[ -z "$PRECISION" ] || echo "precision { $PRECISION }"

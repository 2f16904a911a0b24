# vary.sh PROGRAM gradient|sgd|adamw -- an example as make_expected.py trains it: the optimizer replaced, nothing clipped, no
# dropout, nothing frozen; and for the transformer an entry that gives the logits of the last position. To standard output.
case $2 in
gradient) matrices='SGD(lr = 1.0)' vectors=$matrices ;; # one step: the gradient is what the weights lose
sgd) matrices='SGD(lr = 0.1)' vectors=$matrices ;;
adamw) matrices='AdamW(lr = 1e-3, beta2 = 0.99, decay = 0.1)' vectors='AdamW(lr = 1e-3, beta2 = 0.99, decay = 0.0)' ;;
*) echo "vary.sh: gradient, sgd or adamw?" >&2; exit 2 ;;
esac
case $1 in
transformer)
    sed -E "s/^opt +=[^;]*/opt = $matrices/; s/^plain +=[^;]*/plain = $vectors/; s/clip_norm = 1\.0/clip_norm = 1e9/" \
        "$ROOT/examples/transformer.mdl"
    echo 'entry forward[b, n in 2..context + 1](ids: i32[b, n]) -> (logits: float[b, vocab]) { return net(ids[:, :-1])[:, -1]; }'
    ;;
mlp)
    sed -E "s/^opt +=.*/opt = $matrices; plain = $vectors;/; s/Dropout\(0\.2\)/Dropout(0.0)/
        s/over net using opt/over matrices(net) using opt, over vectors(net) using plain/" "$ROOT/examples/mlp.mdl"
    ;;
lstm_text)
    sed -E "s/^opt +=.*/opt = $matrices; plain = $vectors;/; s/Dropout\(0\.5\)/Dropout(0.0)/; s/^freeze .*//
        s/over net using opt, clip_norm = 5\.0/over matrices(net) using opt, over vectors(net) using plain/" \
        "$ROOT/examples/lstm_text.mdl"
    ;;
*) echo "vary.sh: transformer, mlp or lstm_text?" >&2; exit 2 ;;
esac

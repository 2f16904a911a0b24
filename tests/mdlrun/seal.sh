#!/bin/sh
# seal.sh LIBRARY.so DESCRIPTION.json -- gives a library the section .mdl.meta that runtime/mdlrun_meta.c describes, in place.
set -e
octal() { awk '{ for (i = 1; i <= NF; i++) printf "\\%03o", $i }'; }
meta=$1.meta
length=$(wc -c <"$2")
{
    printf 'MDLMETA1'
    bytes=
    rest=$length
    for i in 1 2 3 4 5 6 7 8; do
        bytes="$bytes $((rest % 256))"
        rest=$((rest / 256))
    done
    printf "$(echo "$bytes" | octal)"
    cat "$2"
    printf "$(sha256sum "$2" | awk '{ for (i = 1; i <= 64; i += 2) print substr($1, i, 2) }' |
        while read -r byte; do printf '%d ' "0x$byte"; done | octal)"
} >"$meta"
objcopy --remove-section .mdl.meta --add-section .mdl.meta="$meta" "$1"
rm "$meta"

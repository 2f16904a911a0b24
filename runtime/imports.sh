# imports.sh -- what an object wants from outside:   sh imports.sh OBJECT [LIST.def]
#
# Prints each undefined name that is no IMPORT of the list, and fails if there is one. Without a list nothing may be undefined.
nm=/usr/lib/llvm-19/bin/llvm-nm # reads objects of every target
undefined=$($nm -u "$1") || exit 1
wanted=$(echo "$undefined" | awk 'NF && $2 !~ /^(_GLOBAL_OFFSET_TABLE_|__stack_pointer|__indirect_function_table)$/ { print $2 }' | sort -u)
listed=$(sed -n 's/^IMPORT(\([^,]*\),.*/\1/p' ${2:+"$2"} </dev/null | sort -u)
status=0
for name in $wanted; do
    case " $(echo $listed) " in
    *" $name "*) ;;
    *) echo "$1 imports $name, which ${2:-a freestanding object} does not allow" >&2; status=1 ;;
    esac
done
exit $status

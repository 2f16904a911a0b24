#!/bin/sh
# control.sh FOLDER VERSION -- FOLDER/DEBIAN/control of the package whose files lie below FOLDER/usr.
set -e
libraries=$(ldd "$1/usr/bin/modelc" "$1/usr/bin/mdlrun" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u)
# A library may be known by the path it was found at, by that below /usr, or by what it links to.
depends=$({ echo "$libraries"; echo "$libraries" | sed 's|^|/usr|'; readlink -f $libraries; } | xargs dpkg-query -S 2>/dev/null | cut -d: -f1 |
    sort -u | paste -s -d, | sed 's/,/, /g')
mkdir -p "$1/DEBIAN"
cat > "$1/DEBIAN/control" <<END
Package: modelc
Version: $2
Architecture: $(dpkg --print-architecture)
Maintainer: modelc <modelc@localhost>
Section: devel
Priority: optional
Installed-Size: $(du -sk "$1/usr" | cut -f1)
Depends: $depends
Description: ahead-of-time compiler for neural networks
 modelc turns the description of a model into a shared or static library that
 runs and trains it, with nothing else installed. mdlrun runs, trains and
 measures such a library from the command line.
END

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# On a big-endian machine (s390x, by qemu-user) libvhdx's tests pass, and check judges the corpus the same.
# S390X_ROOT names a directory with Debian's s390x libraries; without it tests/s390x fetches them once.
# test: quick=no asan=no
. "$(dirname "$0")/lib.sh"
need s390x-linux-gnu-gcc qemu-s390x python3
root=$("$SRC/tests/s390x" 2>"$SCRATCH/log") || skip "$(tail -n 1 "$SCRATCH/log")"

libraries=$root/usr/lib/s390x-linux-gnu
mkdir "$SCRATCH/build"
cd "$SCRATCH/build"
PKG_CONFIG_LIBDIR=$libraries/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root \
    "$SRC/configure" -q --host=s390x-linux-gnu --disable-daemon \
    LDFLAGS="-L$libraries -Wl,-rpath-link,$libraries" || fail "configure"
programs=(tests/unit/test_{extent,layout,check,map,replay,text} tests/fuzz/corpus_{check,map,metadata,replay})
make -s -j2 vhdxgen/vhdxgen "${programs[@]}"
emulate=(qemu-s390x -L /usr/s390x-linux-gnu -E "LD_LIBRARY_PATH=$libraries" -E "srcdir=$SRC")
for program in "${programs[@]}"; do
    "${emulate[@]}" "$program" >"$SCRATCH/log" 2>&1 || fail "$program: $(cat "$SCRATCH/log")"
    note "$program: $(tail -n 1 "$SCRATCH/log")"
done
{
    echo '#!/bin/sh'
    echo "exec $(printf '%q ' "${emulate[@]}") $SCRATCH/build/vhdxgen/vhdxgen \"\$@\""
} >"$SCRATCH/vhdxgen"
chmod +x "$SCRATCH/vhdxgen"
mkdir "$SCRATCH/corpus"
python3 -B "$SRC/tests/corpus/corpus.py" generate "$SCRATCH/corpus"
python3 -B "$SRC/tests/corpus/corpus.py" verify "$SCRATCH/vhdxgen" "$SCRATCH/corpus"

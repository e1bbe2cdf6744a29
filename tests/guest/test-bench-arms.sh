#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The arms of bench/run that need device-mapper or nbd, in a kernel that has them: each is made, shows the device's
# bytes where it says, and leaves nothing behind. No speed is measured: the guest is emulated.
# test: timeout=120 quick=no
. "$(dirname "$0")/../e2e/lib.sh"
need dmsetup qemu-nbd

truncate -s 440M "$SCRATCH/disk"
tar -C "$SRC" -cf "$SCRATCH/tree.tar" bench tests/e2e/lib.sh tests/loops.sh
cat >"$SCRATCH/script" <<'END'
#!/bin/bash
set -euo pipefail
mkdir -p /tree /var/lock
tar -xf /tree.tar -C /tree
export SRC=/tree BUILD=/tree VHDXFS_ISOLATED=1 ARM_REPLY=7
export DEVICE=/dev/vda REGION=$((64 << 20)) AREA=$((256 << 20)) RAW_OFFSET=$((256 << 20))
mkdir /tree/vhdxgen
ln -s /bin/vhdxgen /tree/vhdxgen/vhdxgen
dd if=/dev/urandom of=/dev/vda bs=1M seek=256 count=2 conv=fsync status=none
mkfifo /tmp/in /tmp/out

# with_arm COMMAND NAME [ARGUMENT...]: makes the arm, runs COMMAND with TARGET and OFFSET set, and undoes the arm.
with_arm() {
    local command=$1 script=/tree/bench/arms/$2.sh pid
    shift 2
    bash "$script" "$@" </tmp/in 7>/tmp/out >/tmp/log 2>&1 &
    pid=$!
    exec 8>/tmp/in 9</tmp/out
    read -r -d '' -u 9 TARGET || { cat /tmp/log; exit 1; }
    read -r -d '' -u 9 OFFSET
    "$command"
    exec 8>&- 9<&-
    wait "$pid" || { cat /tmp/log; exit 1; }
    echo "$TARGET: fine"
}

same_as_device() {
    cmp <(dd if="$TARGET" bs=1M skip=$((OFFSET >> 20)) count=2 status=none) \
        <(dd if=/dev/vda bs=1M skip=256 count=2 status=none)
}
takes_data() {
    dd if=/dev/vda of="$TARGET" bs=1M skip=256 count=2 conv=fsync status=none
    cmp <(dd if="$TARGET" bs=1M count=2 status=none) <(dd if=/dev/vda bs=1M skip=256 count=2 status=none)
}

with_arm same_as_device dm
with_arm same_as_device qemu-nbd
with_arm takes_data qemu-nbd ext4
[[ $(dmsetup ls) == "No devices found" && ! -e /sys/block/nbd0/pid && ! $(losetup -a) ]] || { echo "left behind"; exit 1; }
! grep -q ^/dev/vda /proc/mounts || { echo "left mounted"; exit 1; }
END
options=()
for program in bash dmsetup losetup blockdev qemu-nbd mke2fs mount umount mountpoint mktemp rm cp dd cmp "$VHDXGEN"; do
    options+=(--program "$program")
done
for module in dm-mod nbd loop ext4; do
    options+=(--module "$module")
done
"$SRC/tests/guest/run" --timeout 110 "${options[@]}" --disk "$SCRATCH/disk" --file "$SCRATCH/tree.tar" "$SCRATCH/script" || {
    rc=$?
    [[ $rc != 77 ]] || exit 77
    fail "the guest ended with $rc"
}

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest grows the ext4 that it has mounted from the exposed file, through small requests and past the room that was kept
# for its group descriptors: the firewall takes none of it for an accident.
# test: timeout=120 quick=no
. "$(dirname "$0")/../e2e/lib.sh"

P=$((4 * MiB))
new_dir export
new_disk 1G
disk=$LOOP
# With room for the descriptors of 256 MiB; from there on the kernel goes on with meta_bg.
mke2fs -q -F -t ext4 -b 1024 -E lazy_itable_init=1,nodiscard,resize=$((256 * 1024)) "$disk" 60M
serve "$disk" "$DIR"
new_loop "$VHDX" --offset $P --sizelimit $((1024 * MiB))
echo 4 >"/sys/block/${LOOP#/dev/}/queue/max_sectors_kb"

cat >"$SCRATCH/script" <<'END'
#!/bin/bash
set -e
for size; do
    mount -t ext4 /dev/vda /mnt
    resize2fs /dev/vda "$size"
    head -c 5000000 /dev/urandom >"/mnt/$size"
    sync
    umount /mnt
done
END
"$SRC/tests/guest/run" --timeout 100 --module ext4 --program resize2fs --disk "$LOOP" "$SCRATCH/script" 200M 400M 1000M
sync "$LOOP"
free_loop "$LOOP"
wait_until "$DEADLINE" device_free "$disk"
stop_serving
expect_equal "refusals" "$(grep -i refused "$SERVE_LOG" || true)" ""
dumpe2fs -h "$disk" >"$SCRATCH/header" 2>/dev/null
expect_grep '^Block count: +1024000$' "$SCRATCH/header"
expect_grep 'meta_bg' "$SCRATCH/header"
fsck_clean "$disk"

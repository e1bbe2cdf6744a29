#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Extended attributes and small files beside the VHDX are kept over a restart, within limits; everything else is refused.
# test: timeout=120
. "$(dirname "$0")/lib.sh"
need getfattr setfattr python3

new_ext4 64M
disk=$LOOP
new_dir export
export_dir=$DIR
serve "$disk" "$export_dir"

note "extended attributes"
head -c 3000 /dev/urandom >"$SCRATCH/acl"
setfattr -n security.NTACL -v "0s$(base64 -w0 "$SCRATCH/acl")" "$VHDX"
setfattr -n user.DOSATTRIB -v 0x0001020304 "$VHDX"
setfattr -n system.ntfs_attrib_be -v 0x20000000 "$VHDX"
setfattr -n user.empty "$VHDX"
setfattr -n user.of_directory -v share "$export_dir"
expect_fail 1 'not supported' setfattr -n trusted.other -v x "$VHDX"
expect_fail 1 'not supported' setfattr -n security.selinux -v x "$VHDX"
expect_fail 1 'no such attribute' setfattr -x user.absent "$VHDX"
setfattr -n user.removed -v x "$VHDX"
setfattr -x user.removed "$VHDX"

note "attributes with which Windows would no longer attach the file: sparse, as Samba and ntfs-3g write it"
sparse=0x000005000500000011000000000200000000000000000000
expect_fail 1 'not permitted' setfattr -n user.DOSATTRIB -v "$sparse" "$VHDX"
expect_fail 1 'not permitted' setfattr -n system.ntfs_attrib_be -v 0x00000220 "$VHDX"
expect_grep 'refused to mark the VHDX sparse' "$SERVE_LOG"

note "limits: 64 attributes, 64 KiB each, 256 KiB together"
head -c 65536 /dev/zero >"$SCRATCH/large"
set_large=(python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[3], open(sys.argv[2], "rb").read())'
    "$VHDX" "$SCRATCH/large")
for i in 1 2 3; do "${set_large[@]}" "user.large$i"; done
expect_fail 1 'no space' "${set_large[@]}" user.large4
for i in 1 2 3; do setfattr -x "user.large$i" "$VHDX"; done
for i in $(seq 59); do setfattr -n "user.n$i" -v "$i" "$VHDX"; done
expect_fail 1 'no space' setfattr -n user.one_more -v x "$VHDX"

note "small files"
cp "$SCRATCH/acl" "$export_dir/shortcut.ico"
setfattr -x user.n1 "$VHDX"
setfattr -n user.icon -v yes "$export_dir/shortcut.ico"
echo one >"$export_dir/a"
echo two >>"$export_dir/a"
mv "$export_dir/a" "$export_dir/b"
echo gone >"$export_dir/c"
rm "$export_dir/c"
expect_fail 1 'no space' dd if=/dev/zero of="$export_dir/big" bs=1M count=9
rm "$export_dir/big"
truncate -s 8 "$export_dir/b"

note "room is shown, reserved and given back"
room() { echo $(($(stat -f -c '%a * %S' "$export_dir") / 1024)); }
expect_equal "free KiB" "$(room)" $(((8 << 20) / 1024 - 4)) # 3008 bytes are there
expect_equal "free files" "$(stat -f -c %d "$export_dir")" 14
fallocate -l 2M "$export_dir/reserved"
expect_equal "size" "$(stat -c %s "$export_dir/reserved")" $((2 << 20))
expect_equal "free KiB" "$(room)" $(((6 << 20) / 1024 - 4))
expect_fail 1 'no space' fallocate -l 9M "$export_dir/reserved"
expect_fail 1 'no space' fallocate --keep-size -l 9M "$export_dir/reserved"
head -c 2M /dev/urandom >"$export_dir/reserved"
cp "$export_dir/reserved" "$SCRATCH/reserved"
for range in "0 4096" "5000 100" "1048576 500000"; do
    fallocate --punch-hole -o "${range% *}" -l "${range#* }" "$export_dir/reserved"
    fallocate --punch-hole -o "${range% *}" -l "${range#* }" "$SCRATCH/reserved"
done
same_bytes "$export_dir/reserved" "$SCRATCH/reserved"
expect_fail 1 'unsupported|not supported' fallocate --collapse-range -o 0 -l 4096 "$export_dir/reserved"
rm "$export_dir/reserved"
expect_equal "free KiB" "$(room)" $(((8 << 20) / 1024 - 4))
for i in $(seq 14); do : >"$export_dir/file$i"; done
expect_fail 1 'no space' touch "$export_dir/too_many"
rm "$export_dir"/file*

note "removed files that are open, and room behind the end of a file, count as well"
python3 - "$export_dir" "$DEADLINE" <<'END'
import ctypes, errno, os, sys, time

MIB = 1 << 20
directory, deadline = sys.argv[1], time.monotonic() + int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def make(name):
    return os.open(f"{directory}/{name}", os.O_CREAT | os.O_RDWR)


def fits(fd, size):
    try:
        return os.pwrite(fd, b"z" * size, 0) == size
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        return False


removed = make("removed")
assert fits(removed, 5 * MIB)
os.unlink(f"{directory}/removed")
other = make("other")
assert not fits(other, 4 * MIB)
os.close(removed)
while not fits(other, 4 * MIB):  # the kernel tells of a close in its own time
    assert time.monotonic() < deadline
    time.sleep(0.02)
behind = make("behind")
assert libc.fallocate(behind, 1, 0, 5 * MIB) == -1 and ctypes.get_errno() == errno.ENOSPC
assert libc.fallocate(behind, 1, 0, 3 * MIB) == 0
assert not fits(make("third"), 2 * MIB)
for name in "other", "behind", "third":
    os.unlink(f"{directory}/{name}")
END

note "everything else"
expect_fail 1 'not permitted' mkdir "$export_dir/folder"
expect_fail 1 'not permitted' ln -s x "$export_dir/link"
expect_fail 1 'not permitted' ln "$VHDX" "$export_dir/hardlink"
expect_fail 1 'not permitted' mknod "$export_dir/pipe" p
expect_fail 1 'not permitted' mv "$export_dir/b" "$VHDX"
expect_fail 1 'not permitted' rm -f "$VHDX"
expect_equal "the directory" "$(ls "$export_dir" | sort | tr '\n' ' ')" "b ext4.vhdx shortcut.ico "

check_kept() {
    expect_equal "the directory" "$(ls "$export_dir" | sort | tr '\n' ' ')" "b ext4.vhdx shortcut.ico "
    same_bytes "$export_dir/shortcut.ico" "$SCRATCH/acl"
    expect_equal "b" "$(cat "$export_dir/b")" $'one\ntwo'
    getfattr --only-values -n security.NTACL "$VHDX" | same_bytes - "$SCRATCH/acl"
    expect_equal "DOSATTRIB" "$(getfattr --only-values -n user.DOSATTRIB "$VHDX" | od -An -tx1 | tr -d ' ')" 0001020304
    expect_equal "n59" "$(getfattr --only-values -n user.n59 "$VHDX")" 59
    expect_equal "count" "$(getfattr -d -m - "$VHDX" | grep -c =)" 62
    expect_equal "of the icon" "$(getfattr --only-values -n user.icon "$export_dir/shortcut.ico")" yes
    expect_equal "of the directory" "$(getfattr --only-values -n user.of_directory "$export_dir")" share
    getfattr -n user.empty "$VHDX" >/dev/null
}
note "the same after a restart, and after a kill"
stop_serving
serve "$disk" "$export_dir"
check_kept
kill -KILL "$SERVE_PID"
wait_until 10 dead "$SERVE_PID"
umount --lazy "$export_dir"
rm -f "$SERVE_PIDFILE"
serve "$disk" "$export_dir"
check_kept
stop_serving

note "two instances that wait for the same partition: neither forgets what the other keeps"
serve -o "state=$SCRATCH/two" "$disk" "$export_dir"
first=$VHDX first_pid=$SERVE_PID
new_dir export2
serve -o "state=$SCRATCH/two" "$disk" "$DIR"
echo one >"${first%/*}/made"
expect_equal "what the other made" "$(cat "$DIR/made")" one
! (set -o noclobber && echo two >"$DIR/made") 2>/dev/null || fail "made what was there"
setfattr -n user.a -v 1 "$first"
setfattr -n user.b -v 2 "$VHDX"
setfattr -n user.c -v 3 "$first"
stop_serving
kill "$first_pid"
wait "$first_pid" || true
serve -o "state=$SCRATCH/two" "$disk" "$export_dir"
for name in a b c; do
    getfattr -n user.$name "$VHDX" >/dev/null || fail "user.$name is gone"
done
touch "$export_dir/:"
rm "$export_dir/:"
getfattr -n user.a "$VHDX" >/dev/null || fail "a file named : takes the VHDX's attributes along"
! mv "$VHDX" "$export_dir/"$'x\nvhdxfs: forged' 2>/dev/null || fail "renamed"
stop_serving
! grep -q '^vhdxfs: forged' "$SERVE_LOG" || fail "a client makes lines of the log"

note "read-only: shown, not changed"
serve -o ro "$disk" "$export_dir"
check_kept
expect_fail 1 'read-only' touch "$export_dir/new"
expect_fail 1 'read-only' setfattr -n user.new -v x "$VHDX"
stop_serving

note "what is no attribute of ours is refused and told; the others go on"
xattrs=$(echo "$STATE"/*.xattrs.d)
mv "$xattrs/@vhdx/user.n59" "$SCRATCH/n59"
ln -s "$SCRATCH/n59" "$xattrs/@vhdx/user.n59"
echo "of an earlier build" >"${xattrs%.d}"
serve "$disk" "$export_dir"
expect_fail 1 'input/output error' getfattr -n user.n59 "$VHDX"
expect_grep 'user.n59 of /vhdx is not ours.*remove it' "$SERVE_LOG"
expect_fail 1 'input/output error' setfattr -n user.n59 -v x "$VHDX"
expect_equal "n58" "$(getfattr --only-values -n user.n58 "$VHDX")" 58
expect_equal "n59" "$(cat "$SCRATCH/n59")" 59
stop_serving

note "so is a directory of attributes that is none"
mv "$xattrs" "$SCRATCH/attributes"
ln -s "$SCRATCH/attributes" "$xattrs"
expect_fail 2 'extended attributes.*move it away' "$BUILD/fuse/vhdxfs" -f -o "state=$STATE" "$disk" "$export_dir"
rm "$xattrs"
serve "$disk" "$export_dir"
expect_fail 1 'no such attribute' getfattr -n user.n58 "$VHDX"
stop_serving
expect_equal "the earlier build's" "$(cat "${xattrs%.d}")" "of an earlier build"
fsck_clean "$disk"

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/holders.h"

#include "common/cleanup.h"
#include "common/units.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PATH_ROOM 512

static void sys_path(char path[PATH_ROOM], dev_t device, const char *rest)
{
    snprintf(path, PATH_ROOM, "/sys/dev/block/%u:%u/%s", major(device), minor(device), rest);
}

static bool read_line(const char *path, char *line, size_t size)
{
    cleanup_file FILE *f = fopen(path, "re");

    if (!f || !fgets(line, (int)size, f))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* The next entry of DIRECTORY that is not hidden, or NULL. */
static struct dirent *next_entry(DIR *directory)
{
    struct dirent *entry;

    while ((entry = readdir(directory)) && entry->d_name[0] == '.')
        ;
    return entry;
}

/* The first device stacked on DEVICE, by the name that people know. */
static bool first_holder(dev_t device, char *name, size_t size)
{
    char path[PATH_ROOM], label[PATH_ROOM];
    cleanup_dir DIR *directory = NULL;
    struct dirent *entry;

    sys_path(path, device, "holders");
    directory = opendir(path);
    entry = directory ? next_entry(directory) : NULL;
    if (!entry)
        return false;
    snprintf(path, sizeof(path), "/sys/class/block/%.200s/dm/name", entry->d_name);
    if (read_line(path, label, sizeof(label)))
        snprintf(name, size, "/dev/mapper/%s", label);
    else
        snprintf(name, size, "/dev/%s", entry->d_name);
    return true;
}

bool holders_stacked(dev_t device)
{
    char name[PATH_ROOM];

    return first_holder(device, name, sizeof(name));
}

bool holders_mapped(dev_t device)
{
    char path[PATH_ROOM], uuid[PATH_ROOM];
    cleanup_dir DIR *directory = NULL;
    struct dirent *entry;
    bool any = false;

    sys_path(path, device, "holders");
    directory = opendir(path);
    while (directory && (entry = next_entry(directory))) {
        snprintf(path, sizeof(path), "/sys/class/block/%.200s/dm/uuid", entry->d_name);
        if (!read_line(path, uuid, sizeof(uuid)) ||
            strncmp(uuid, HOLDERS_MAPPED_UUID, strlen(HOLDERS_MAPPED_UUID)) != 0)
            return false;
        any = true;
    }
    return any;
}

static bool is_device(const char *path, dev_t device)
{
    struct stat st;

    return *path == '/' && stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

/* Turns the octal escapes of /proc (\040 for a blank) back; in place. */
static void unescape(char *text)
{
    char *out = text;

    for (; *text; text++) {
        unsigned value;

        if (*text == '\\' && strspn(text + 1, "01234567") >= 3 &&
            sscanf(text + 1, "%3o", &value) == 1) {
            *out++ = (char)value;
            text += 3;
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

struct mount {
    dev_t device;
    char *point, *type, *source;
    char *options; /* of the file system itself */
};

/*
 * "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", however long.
 * Takes LINE apart, in place; false when it is no such line.
 */
static bool parse_mount(char *line, struct mount *mount)
{
    char *words[6], *word;
    unsigned maj, min;

    line[strcspn(line, "\n")] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        words[i] = strsep(&line, " ");
    while ((word = strsep(&line, " ")) && strcmp(word, "-") != 0)
        ;
    *mount = (struct mount){.point = words[4]};
    mount->type = strsep(&line, " ");
    mount->source = strsep(&line, " ");
    mount->options = line;
    if (!line || sscanf(words[2], "%u:%u", &maj, &min) != 2)
        return false;
    mount->device = makedev(maj, min);
    unescape(mount->point);
    unescape(mount->source);
    return true;
}

static bool is_mount_of(const struct mount *mount, dev_t device)
{
    if (mount->device == device)
        return true;
    /*
     * btrfs shows a device number of its own: there the source tells. A FUSE mount may call itself
     * after the device (ours do) without holding it.
     */
    return strncmp(mount->type, "fuse", 4) != 0 && is_device(mount->source, device);
}

int holders_mounted_as(dev_t device, char *where, size_t size, bool *writable)
{
    cleanup_file FILE *f = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    size_t room = 0;

    *where = '\0';
    if (!f)
        return -errno;
    while (getline(&line, &room, f) > 0) {
        struct mount mount;

        if (!parse_mount(line, &mount))
            return -EBADMSG;
        if (!is_mount_of(&mount, device))
            continue;
        snprintf(where, size, "%s", mount.point);
        *writable = strcmp(mount.options, "ro") != 0 && strncmp(mount.options, "ro,", 3) != 0;
        return 1;
    }
    return feof(f) ? 0 : -EIO;
}

int holders_mounted(dev_t device, char *where, size_t size)
{
    bool writable;

    return holders_mounted_as(device, where, size, &writable);
}

static bool is_swap(dev_t device)
{
    cleanup_file FILE *f = fopen("/proc/swaps", "re");
    cleanup_free char *line = NULL;
    size_t room = 0;

    while (f && getline(&line, &room, f) > 0) {
        line[strcspn(line, " \t")] = '\0';
        unescape(line);
        if (is_device(line, device))
            return true;
    }
    return false;
}

static bool loop_stands_on(const char *loop, const struct stat *st)
{
    cleanup_fd int fd = open(loop, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct loop_info64 info = {0}; /* for valgrind, which does not know the request */

    if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
        return false;
    if (S_ISBLK(st->st_mode))
        return info.lo_rdevice != 0 && info.lo_rdevice == st->st_rdev;
    return info.lo_rdevice == 0 && info.lo_device == st->st_dev && info.lo_inode == st->st_ino;
}

bool holders_looped(const struct stat *st, char *which, size_t size)
{
    cleanup_dir DIR *directory = opendir("/sys/class/block");
    struct dirent *entry;

    while (directory && (entry = next_entry(directory))) {
        char path[PATH_ROOM];

        if (strncmp(entry->d_name, "loop", 4) != 0)
            continue;
        snprintf(path, sizeof(path), "/sys/class/block/%.200s/loop/backing_file", entry->d_name);
        if (access(path, F_OK) < 0) /* not bound: do not even open it */
            continue;
        snprintf(path, sizeof(path), "/dev/%.200s", entry->d_name);
        if (loop_stands_on(path, st)) {
            snprintf(which, size, "%s", path);
            return true;
        }
    }
    return false;
}

bool same_object(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode) != S_ISBLK(b->st_mode))
        return false;
    if (S_ISBLK(a->st_mode))
        return a->st_rdev == b->st_rdev;
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the process whose id is the text PID has the object open. */
static bool process_has(const char *pid, const struct stat *object)
{
    char path[PATH_ROOM];
    cleanup_dir DIR *directory = NULL;
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    directory = opendir(path);
    while (directory && (entry = next_entry(directory))) {
        struct stat st;

        if (fstatat(dirfd(directory), entry->d_name, &st, 0) == 0 && same_object(&st, object))
            return true;
    }
    return false;
}

static void process_name(const char *pid, char *name, size_t size)
{
    char path[PATH_ROOM];

    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    if (!read_line(path, name, size))
        snprintf(name, size, "?");
}

/* The next process but this one, or NULL. */
static const char *next_process(DIR *directory)
{
    struct dirent *entry;

    while (directory && (entry = next_entry(directory)))
        if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != getpid())
            return entry->d_name;
    return NULL;
}

bool holders_served(const struct stat *st, int *pid)
{
    cleanup_dir DIR *directory = opendir("/proc");
    char name[64];
    const char *process;

    while ((process = next_process(directory))) {
        process_name(process, name, sizeof(name));
        if (strcmp(name, "vhdxfs") != 0 || !process_has(process, st))
            continue;
        *pid = atoi(process);
        return true;
    }
    return false;
}

/* Names up to three processes that have DEVICE open; returns whether there are any. */
static bool list_processes(dev_t device, char *text, size_t size)
{
    const struct stat st = {.st_mode = S_IFBLK, .st_rdev = device};
    cleanup_dir DIR *directory = opendir("/proc");
    const char *process;
    size_t used = 0;
    int found = 0;

    while (found < 3 && used < size && (process = next_process(directory))) {
        char name[64];

        if (!process_has(process, &st))
            continue;
        process_name(process, name, sizeof(name));
        used += (size_t)snprintf(text + used, size - used, "%s%s (process %s)",
                                 found++ ? ", " : "in use by ", name, process);
    }
    return found > 0;
}

/* A partition on DEVICE that is mounted or stacked on: it keeps the whole disk busy. */
static bool busy_partition(dev_t device, char *text, size_t size)
{
    char path[PATH_ROOM], line[64], what[256];
    cleanup_dir DIR *directory = NULL;
    struct dirent *entry;

    sys_path(path, device, "");
    directory = opendir(path);
    while (directory && (entry = next_entry(directory))) {
        unsigned maj, min;

        snprintf(path, sizeof(path), "/sys/class/block/%.200s/partition", entry->d_name);
        if (access(path, F_OK) < 0)
            continue;
        snprintf(path, sizeof(path), "/sys/class/block/%.200s/dev", entry->d_name);
        if (!read_line(path, line, sizeof(line)) || sscanf(line, "%u:%u", &maj, &min) != 2)
            continue;
        if (holders_mounted(makedev(maj, min), what, sizeof(what)) > 0 ||
            first_holder(makedev(maj, min), what, sizeof(what))) {
            snprintf(text, size, "in use: its partition /dev/%.200s is (%s)", entry->d_name, what);
            return true;
        }
    }
    return false;
}

bool holders_describe(dev_t device, char *text, size_t size)
{
    struct stat st = {.st_mode = S_IFBLK, .st_rdev = device};
    char what[PATH_ROOM];

    if (holders_mounted(device, what, sizeof(what)) > 0)
        snprintf(text, size, "mounted on %s", what);
    else if (is_swap(device))
        snprintf(text, size, "in use as swap space");
    else if (first_holder(device, what, sizeof(what)))
        snprintf(text, size, "in use by %s", what);
    else if (holders_looped(&st, what, sizeof(what)))
        snprintf(text, size, "in use by the loop device %s", what);
    else if (!busy_partition(device, text, size) && !list_processes(device, text, size)) {
        snprintf(
            text, size,
            "in use by a program or a mount that cannot be seen from here (fuser -v shows it)");
        return false;
    }
    return true;
}

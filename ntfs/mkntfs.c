/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/mkntfs.h"

#include "common/cleanup.h"
#include "ntfs/geometry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* The program's number for the file: not one of the standard streams. */
#define TARGET 3

static const char *find_program(void)
{
    static const char *const places[] = {"/usr/sbin/mkntfs", "/sbin/mkntfs", "/usr/bin/mkntfs",
                                         "/usr/local/sbin/mkntfs"};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* What FD is in the child, and what else it has: nothing of ours, its words in OUTPUT. */
static int plan_files(posix_spawn_file_actions_t *actions, int fd, int output)
{
    int err = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    if (!err)
        err = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (!err)
        err = posix_spawn_file_actions_adddup2(actions, output, 2);
    if (!err)
        err = posix_spawn_file_actions_adddup2(actions, fd, TARGET);
    return -err;
}

static int spawn(const char *program, char *const *arguments, int fd, int output, pid_t *child)
{
    static char *const environment[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    posix_spawn_file_actions_t actions;
    int err = -posix_spawn_file_actions_init(&actions);

    if (err)
        return err;
    err = plan_files(&actions, fd, output);
    if (!err)
        err = -posix_spawn(child, program, &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return err;
}

/* The last line that was said. */
static void last_words(int output, char *words, size_t size)
{
    char text[4096] = "";
    off_t end = lseek(output, 0, SEEK_END);
    off_t from = end > (off_t)sizeof(text) - 1 ? end - ((off_t)sizeof(text) - 1) : 0;
    ssize_t n = pread(output, text, sizeof(text) - 1, from);
    char *line;

    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    text[n < 0 ? 0 : n] = '\0';
    line = strrchr(text, '\n');
    snprintf(words, size, "%s", line ? line + 1 : text);
}

static int wait_for(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int ntfs_mkntfs(int fd, const char *label, uint64_t start, char *words, size_t size)
{
    const char *program = find_program();
    /* An own copy of the number: dup2 to itself would leave it to be closed. */
    cleanup_fd int target = fcntl(fd, F_DUPFD_CLOEXEC, TARGET + 1);
    cleanup_fd int output = memfd_create("mkntfs", MFD_CLOEXEC);
    char cluster[16], sector[32], name[160], path[32];
    char *const arguments[] = {"mkntfs", "--force",        "--fast", "--sector-size",
                               "512",    "--cluster-size", cluster,  "--partition-start",
                               sector,   "--heads",        "255",    "--sectors-per-track",
                               "63",     "--label",        name,     path,
                               NULL};
    pid_t child;
    int err;

    if (!program)
        return -ENOENT;
    if (target < 0 || output < 0)
        return -errno;
    snprintf(cluster, sizeof(cluster), "%" PRIu64, (uint64_t)NTFS_CLUSTER);
    snprintf(sector, sizeof(sector), "%" PRIu64, start);
    snprintf(name, sizeof(name), "%s", label);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", TARGET);
    err = spawn(program, arguments, target, output, &child);
    if (err)
        return err;
    err = wait_for(child);
    if (err)
        last_words(output, words, size);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/privileges.h"

#include "common/units.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sanitizers stop and inspect the process with calls that the filter refuses. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const cap_value_t kept[] = {CAP_DAC_OVERRIDE, CAP_SYS_ADMIN};

static int keep_capabilities(void)
{
    cap_t caps = cap_init(); /* all cleared */
    int err = 0;

    if (!caps)
        return -errno;
    for (cap_value_t c = 0; c <= CAP_LAST_CAP; c++) {
        bool keep = c == kept[0] || c == kept[1];

        /* Without CAP_SETPCAP the bound stays; with no_new_privs nothing can be gained from it. */
        if (!keep && cap_get_bound(c) == 1 && cap_drop_bound(c) < 0 && errno != EPERM)
            err = -errno;
    }
    if (!err && (cap_set_flag(caps, CAP_PERMITTED, ARRAY_SIZE(kept), kept, CAP_SET) < 0 ||
                 cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_SIZE(kept), kept, CAP_SET) < 0 ||
                 cap_set_proc(caps) < 0))
        err = -errno;
    cap_free(caps);
    return err;
}

static const char *const refused[] = {
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "mount",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "open_tree",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "reboot",
    "swapon",
    "swapoff",
    "keyctl",
    "add_key",
    "request_key",
    "userfaultfd",
    "open_by_handle_at",
    "mknod",
    "mknodat",
    "acct",
    "quotactl",
    "settimeofday",
    "clock_settime",
    "sethostname",
    "setdomainname",
    "clock_adjtime",
    "adjtimex",
    "mount_setattr",
    "pidfd_getfd",
    "iopl",
    "ioperm",
    "io_uring_setup",
};

static int refuse_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int err = 0;

    if (!filter)
        return -ENOMEM;
    /* A tree instead of a chain, so that a read costs a few comparisons. Older ones cannot. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; !err && i < ARRAY_SIZE(refused); i++) {
        int call = seccomp_syscall_resolve_name(refused[i]);

        if (call != __NR_SCMP_ERROR) /* this architecture or library has none of that name */
            err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
        if (err == -EDOM || err == -EACCES)
            err = 0;
    }
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                               SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    if (!err)
        err = seccomp_load(filter);
    seccomp_release(filter);
    return err;
}

int privileges_drop(struct failure *failure)
{
    const char *what = "drop capabilities";
    int err = 0;

    if (geteuid() != 0)
        return 0;
    err = keep_capabilities();
    if (!err) {
        what = "set no_new_privs";
        err = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
    }
    if (!err && !SANITIZED) {
        what = "install the system call filter";
        err = refuse_calls();
    }
    return err ? failed(failure, EXIT_IO_ERROR, err, "cannot %s: %s", what, strerror(-err)) : 0;
}

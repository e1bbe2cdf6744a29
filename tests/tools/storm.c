/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storm: writes an exposed VHDX from several threads, remembers what was acknowledged as
 * flushed, and judges what is there after a crash.
 *
 *   storm kill    starts the daemon, writes, kills it with SIGKILL, starts it again, judges
 *   storm record  writes and keeps a record of what was acknowledged, with marks in it
 *   storm verify  judges a file by such a record, at one mark or between two
 */
#include "common/cleanup.h"
#include "tests/tools/lanes.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

struct settings {
    struct lanes lanes;
    uint64_t count;   /* kills, or marks */
    unsigned span;    /* ms: the longest time until the next kill or mark */
    const char *base; /* a copy of the file as it was before */
    const char *log;  /* of the record */
    const char *command;
    const char *pidfile;
    const char *mountpoint;
    uint64_t from, to; /* marks */
    char **daemon;     /* kill: the command line */
    uint64_t random;
};

static uint64_t below(struct settings *s, uint64_t end)
{
    return random_next(&s->random) % end;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Runs "COMMAND NUMBER" in a shell; 0 or -EIO after a message. */
static int run_command(const char *command, uint64_t number)
{
    char *line = NULL;
    int rc;

    if (!command)
        return 0;
    if (asprintf(&line, "%s %" PRIu64, command, number) < 0)
        return -ENOMEM;
    rc = system(line);
    if (rc)
        fprintf(stderr, "%s: exit status %#x\n", line, (unsigned)rc);
    free(line);
    return rc ? -EIO : 0;
}

/* --- kill --------------------------------------------------------------------- */

static pid_t start_daemon(struct settings *s)
{
    pid_t pid;

    unlink(s->pidfile);
    pid = fork();
    if (pid == 0) {
        execvp(s->daemon[0], s->daemon);
        fprintf(stderr, "%s: %s\n", s->daemon[0], strerror(errno));
        _exit(127);
    }
    return pid;
}

/* Waits until the daemon serves. 0, or -ETIME or -ECHILD after a message. */
static int await_daemon(struct settings *s, pid_t pid)
{
    double end = seconds() + 60;
    struct stat st;
    int status;

    while (stat(s->pidfile, &st) || st.st_size == 0) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            fprintf(stderr, "the daemon ended instead of serving, status %#x\n", (unsigned)status);
            return -ECHILD;
        }
        if (seconds() > end) {
            fprintf(stderr, "the daemon does not serve after 60 s\n");
            return -ETIME;
        }
        usleep(500);
    }
    return 0;
}

static void bury(struct settings *s, pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    while (umount2(s->mountpoint, MNT_DETACH) == 0)
        ;
}

/* A daemon killed while it starts; nothing is written. */
static void interrupted_start(struct settings *s)
{
    pid_t pid = start_daemon(s);

    usleep((useconds_t)below(s, 40000));
    bury(s, pid);
}

/* One life of a daemon that serves already: judged, written to, killed. */
static int life(struct settings *s, pid_t pid, uint64_t round)
{
    struct lanes *lanes = &s->lanes;
    int rc = lanes_open(lanes);

    lanes->dying = false;
    if (!rc)
        rc = round ? lanes_check(lanes, true) : lanes_adopt(lanes);
    if (!rc)
        rc = run_command(s->command, round);
    if (!rc)
        rc = lanes_start(lanes);
    if (rc) {
        bury(s, pid);
        return rc;
    }
    usleep((useconds_t)below(s, s->span * 1000));
    lanes->dying = true;
    kill(pid, SIGKILL);
    lanes->stop = true;
    rc = lanes_join(lanes);
    lanes_close(lanes);
    bury(s, pid);
    /* Whatever the kernel says to a client whose daemon died is no finding. */
    if (rc == -ENOTCONN || rc == -ECONNABORTED || rc == -EIO)
        rc = 0;
    return rc;
}

static int last_life(struct settings *s)
{
    pid_t pid = start_daemon(s);
    int rc = await_daemon(s, pid), status;

    if (!rc)
        rc = lanes_open(&s->lanes);
    if (!rc)
        rc = lanes_check(&s->lanes, true);
    lanes_close(&s->lanes);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    if (!rc && status) {
        fprintf(stderr, "the daemon ended with status %#x after SIGTERM\n", (unsigned)status);
        rc = -ECHILD;
    }
    return rc;
}

static int run_kill(struct settings *s)
{
    uint64_t lost = 0, starts = 0;
    double start = seconds();
    int rc = 0;

    for (uint64_t round = 0; round < s->count && !rc; round++) {
        pid_t pid;

        if (below(s, 8) == 0) {
            interrupted_start(s);
            starts++;
        }
        pid = start_daemon(s);
        rc = await_daemon(s, pid);
        if (rc)
            bury(s, pid);
        else
            rc = life(s, pid, round);
        if (rc)
            fprintf(stderr, "round %" PRIu64 ", seed %" PRIu64 ": %s\n", round, s->lanes.seed,
                    strerror(-rc));
    }
    if (!rc)
        rc = last_life(s);
    for (unsigned i = 0; i < LANES; i++)
        lost += s->lanes.lane[i].oracle.lost;
    printf("%" PRIu64 " kills and %" PRIu64 " killed starts in %.1f s: %" PRIu64
           " operations, %" PRIu64 " flushes; %" PRIu64
           " bytes acknowledged without a flush were gone\n",
           s->count, starts, seconds() - start, (uint64_t)s->lanes.operations,
           (uint64_t)s->lanes.flushes, lost);
    return rc;
}

/*
 * The process that sets the marks. It is forked before the file is opened: a child that
 * inherits the file flushes it when it closes it, and a mark must not flush.
 */
struct marker {
    FILE *numbers, *answers; /* of the parent: what to mark; one byte for each that is done */
    pid_t pid;
};

static int start_marker(struct marker *marker, const char *command)
{
    int numbers[2], answers[2];

    if (pipe2(numbers, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
        return -errno;
    marker->pid = fork();
    if (marker->pid == 0) {
        uint64_t number;

        close(numbers[1]);
        while (read(numbers[0], &number, sizeof(number)) == sizeof(number))
            if (run_command(command, number) || write(answers[1], "", 1) != 1)
                _exit(1);
        _exit(0);
    }
    close(numbers[0]);
    close(answers[1]);
    marker->numbers = fdopen(numbers[1], "w");
    marker->answers = fdopen(answers[0], "r");
    return marker->pid < 0 || !marker->numbers || !marker->answers ? -errno : 0;
}

static int set_mark(struct marker *marker, uint64_t number)
{
    if (fwrite(&number, sizeof(number), 1, marker->numbers) != 1 || fflush(marker->numbers))
        return -errno;
    return fgetc(marker->answers) == EOF ? -EIO : 0;
}

static void end_marker(struct marker *marker)
{
    fclose(marker->numbers);
    fclose(marker->answers);
    waitpid(marker->pid, NULL, 0);
}

/* --- record --------------------------------------------------------------------- */

static int mark(struct settings *s, struct marker *marker, uint64_t number)
{
    struct record record = {.kind = RECORD_MARK_BEGIN, .mark = number};
    int rc = lanes_record(&s->lanes, &record);

    if (!rc)
        rc = set_mark(marker, number);
    record.kind = RECORD_MARK_END;
    return rc ? rc : lanes_record(&s->lanes, &record);
}

static int run_record(struct settings *s)
{
    struct lanes *lanes = &s->lanes;
    struct marker marker;
    int rc = start_marker(&marker, s->command), join_rc;

    if (rc)
        return rc;
    lanes->records = fopen(s->log, "w");
    if (!lanes->records)
        return -errno;
    rc = lanes_open(lanes);
    if (!rc)
        rc = mark(s, &marker, 0);
    if (!rc)
        rc = lanes_start(lanes);
    if (rc)
        return rc;
    for (uint64_t number = 1; number <= s->count && !rc; number++) {
        usleep((useconds_t)below(s, s->span * 1000));
        rc = mark(s, &marker, number);
    }
    lanes->stop = true;
    join_rc = lanes_join(lanes);
    lanes_close(lanes);
    end_marker(&marker);
    if (fclose(lanes->records) && !rc)
        rc = -errno;
    printf("%" PRIu64 " operations, %" PRIu64 " flushes\n", (uint64_t)lanes->operations,
           (uint64_t)lanes->flushes);
    return rc ? rc : join_rc;
}

/* --- verify --------------------------------------------------------------------- */

/*
 * Brings the oracles to the cut: flushed is what was acknowledged before mark FROM,
 * pending what was begun before the end of mark TO. FROM may lie before the first mark
 * (UINT64_MAX): then nothing was flushed.
 */
static int replay_record(struct settings *s, FILE *log)
{
    bool flushes_count = s->from != UINT64_MAX;
    struct record record;

    while (fread(&record, sizeof(record), 1, log) == 1) {
        struct lane *lane = &s->lanes.lane[record.lane % LANES];
        int rc = 0;

        if (record.kind == RECORD_MARK_BEGIN && record.mark == s->from)
            flushes_count = false;
        else if (record.kind == RECORD_MARK_END && record.mark == s->to)
            return 0;
        else if (record.kind == RECORD_FLUSHED && flushes_count)
            oracle_flush(&lane->oracle, record.op.number);
        else if (record.kind == RECORD_BEGIN)
            rc = oracle_begin(&lane->oracle, &record.op);
        if (rc)
            return rc;
    }
    return 0; /* a mark behind the last: the cut is somewhere before the very end */
}

static int run_verify(struct settings *s)
{
    cleanup_file FILE *log = fopen(s->log, "r");
    cleanup_fd int base = open(s->base, O_RDONLY | O_CLOEXEC);
    int rc;

    if (!log || base < 0)
        return -errno;
    s->lanes.fd = base;
    rc = lanes_adopt(&s->lanes);
    if (!rc)
        rc = replay_record(s, log);
    s->lanes.fd = -1;
    if (!rc)
        rc = lanes_open(&s->lanes);
    if (!rc)
        rc = lanes_check(&s->lanes, false);
    lanes_close(&s->lanes);
    return rc;
}

/* --- the command line ----------------------------------------------------------- */

static const struct option long_options[] = {{"file", required_argument, NULL, 'f'},
                                             {"seed", required_argument, NULL, 's'},
                                             {"payload", required_argument, NULL, 'p'},
                                             {"disk", required_argument, NULL, 'd'},
                                             {"reserved", required_argument, NULL, 'r'},
                                             {"largest", required_argument, NULL, 'l'},
                                             {"pause", required_argument, NULL, 'u'},
                                             {"count", required_argument, NULL, 'n'},
                                             {"span", required_argument, NULL, 't'},
                                             {"base", required_argument, NULL, 'b'},
                                             {"log", required_argument, NULL, 'o'},
                                             {"command", required_argument, NULL, 'c'},
                                             {"pidfile", required_argument, NULL, 'P'},
                                             {"mountpoint", required_argument, NULL, 'm'},
                                             {"from", required_argument, NULL, 'F'},
                                             {"to", required_argument, NULL, 'T'},
                                             {NULL, 0, NULL, 0}};

static int usage(void)
{
    fputs("usage: storm kill   --file=F --payload=P --disk=N --count=KILLS --pidfile=F\n"
          "                    --mountpoint=D [--command=CMD] [common] -- DAEMON...\n"
          "       storm record --file=F --payload=P --disk=N --count=MARKS --log=F\n"
          "                    [--command=CMD] [common]\n"
          "       storm verify --file=F --payload=P --disk=N --log=F --base=F\n"
          "                    --from=MARK --to=MARK [common]\n"
          "CMD is run with the number of the life or mark as its argument.\n"
          "common: --seed=N --reserved=BYTES --largest=BYTES --pause=MICROSECONDS\n"
          "        --span=MILLISECONDS; verify needs the seed and sizes of the record\n",
          stderr);
    return 1;
}

static void set(struct settings *s, int option, char *value)
{
    uint64_t number = strtoull(value, NULL, 0);

    switch (option) {
    case 'f':
        s->lanes.file = value;
        break;
    case 's':
        s->lanes.seed = number;
        break;
    case 'p':
        s->lanes.payload = number;
        break;
    case 'd':
        s->lanes.disk = number;
        break;
    case 'r':
        s->lanes.reserved = number;
        break;
    case 'l':
        s->lanes.largest = (uint32_t)number;
        break;
    case 'u':
        s->lanes.pause = (unsigned)number;
        break;
    case 'n':
        s->count = number;
        break;
    case 't':
        s->span = (unsigned)number;
        break;
    case 'b':
        s->base = value;
        break;
    case 'o':
        s->log = value;
        break;
    case 'c':
        s->command = value;
        break;
    case 'P':
        s->pidfile = value;
        break;
    case 'm':
        s->mountpoint = value;
        break;
    case 'F':
        s->from = strcmp(value, "start") ? number : UINT64_MAX;
        break;
    case 'T':
        s->to = number;
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    struct settings s = {.span = 100, .lanes = {.largest = 256 * 1024, .seed = 1}};
    const char *command = argc > 1 ? argv[1] : "";
    int option, rc;

    while ((option = getopt_long(argc - 1, argv + 1, "+", long_options, NULL)) != -1) {
        if (option == '?')
            return usage();
        set(&s, option, optarg);
    }
    s.daemon = argv + 1 + optind;
    s.random = ~s.lanes.seed;
    if (!s.lanes.file || !s.lanes.payload || !s.lanes.disk || s.lanes.largest > 2 << 20)
        return usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    rc = lanes_init(&s.lanes);
    if (rc)
        fprintf(stderr, "storm: %s\n", strerror(-rc));
    else if (!strcmp(command, "kill") && s.pidfile && s.mountpoint && *s.daemon)
        rc = run_kill(&s);
    else if (!strcmp(command, "record") && s.log)
        rc = run_record(&s);
    else if (!strcmp(command, "verify") && s.log && s.base)
        rc = run_verify(&s);
    else
        return usage();
    lanes_free(&s.lanes);
    if (rc)
        fprintf(stderr, "storm %s: %s\n", command, strerror(-rc));
    return rc ? 4 : 0;
}

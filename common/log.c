/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

struct message {
    int priority;
    char text[1024];
};

/* Messages of one format; how many of them were queued in this while. */
struct kind {
    const char *format; /* NULL: free */
    uint64_t begun;
    unsigned queued;
    unsigned left_out;
    struct message last; /* of those left out */
};

static bool with_debug;
static bool syslogging;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wanted; /* something to write, or the end */
    pthread_t writer;
    bool running;
    bool ending;
    struct message messages[LOG_QUEUE];
    unsigned first, count;
    unsigned lost; /* since that was last told */
    struct kind kinds[16];
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_set_debug(bool debug)
{
    with_debug = debug;
}

void log_to_syslog(void)
{
    openlog("vhdxfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    syslogging = true;
}

/*
 * May wait for whoever reads. Not by stdio: it would keep a lock meanwhile, and exit(3) would write
 * the same again.
 */
static void put(const struct message *m)
{
    char line[sizeof(m->text) + 32];
    int n;

    if (syslogging) {
        syslog(m->priority, "%s", m->text);
        return;
    }
    n = snprintf(line, sizeof(line), "vhdxfs: %s%s\n",
                 m->priority == LOG_WARNING ? "warning: " : "", m->text);
    while (write(STDERR_FILENO, line, (size_t)n) < 0 && errno == EINTR)
        ;
}

static void __attribute__((format(printf, 3, 0)))
fill(struct message *m, int priority, const char *format, va_list args)
{
    m->priority = priority;
    vsnprintf(m->text, sizeof(m->text), format, args);
    /* Names come from clients: they must not make lines of their own. */
    for (char *p = m->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
}

static void __attribute__((format(printf, 3, 4)))
fill_note(struct message *m, int priority, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(m, priority, format, args);
    va_end(args);
}

/* --- the queue. All under its lock. ----------------------------------------------- */

/* Debugging messages leave room for what is more important. */
static void enqueue(const struct message *m)
{
    if (queue.count >= (m->priority == LOG_DEBUG ? LOG_QUEUE * 3 / 4 : LOG_QUEUE)) {
        queue.lost++;
        return;
    }
    queue.messages[(queue.first + queue.count++) % LOG_QUEUE] = *m;
    pthread_cond_signal(&queue.wanted);
}

/* Makes M a note about what was left out of KIND. */
static void note_left_out(struct kind *kind, struct message *m)
{
    fill_note(m, kind->last.priority, "%u more like this in %u seconds: %.900s", kind->left_out,
              LOG_WHILE, kind->last.text);
    kind->left_out = 0;
}

/* That of FORMAT; the oldest one gives its place to a new one. */
static struct kind *kind_of(const char *format)
{
    struct kind *oldest = queue.kinds;

    for (size_t i = 0; i < ARRAY_SIZE(queue.kinds); i++) {
        struct kind *kind = &queue.kinds[i];

        if (kind->format == format)
            return kind;
        if (kind->begun < oldest->begun)
            oldest = kind;
    }
    if (oldest->left_out) {
        struct message m;

        note_left_out(oldest, &m);
        enqueue(&m);
    }
    *oldest = (struct kind){.format = format};
    return oldest;
}

/* Whether a message of FORMAT is one too many. */
static bool is_too_much(const char *format, const struct message *m)
{
    struct kind *kind = kind_of(format);
    uint64_t now = monotonic_ns();

    if (!kind->left_out && now - kind->begun >= LOG_WHILE * SECOND) {
        kind->begun = now;
        kind->queued = 0;
    }
    if (kind->queued < LOG_BURST) {
        kind->queued++;
        return false;
    }
    kind->left_out++;
    kind->last = *m;
    return true;
}

/* The kind of which something was left out for the longest time, or NULL. */
static struct kind *longest_left_out(void)
{
    struct kind *found = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(queue.kinds); i++)
        if (queue.kinds[i].left_out && (!found || queue.kinds[i].begun < found->begun))
            found = &queue.kinds[i];
    return found;
}

/* What is to be written next, if it is time. */
static bool next_message(struct message *m)
{
    struct kind *kind = longest_left_out();

    if (queue.count) {
        *m = queue.messages[queue.first];
        queue.first = (queue.first + 1) % LOG_QUEUE;
        queue.count--;
        return true;
    }
    if (queue.lost) {
        fill_note(m, LOG_WARNING, "%u messages were lost, since nobody took them", queue.lost);
        queue.lost = 0;
        return true;
    }
    if (!kind || (!queue.ending && monotonic_ns() - kind->begun < LOG_WHILE * SECOND))
        return false;
    note_left_out(kind, m);
    return true;
}

/* Waits for a message, for the end, or until something is to be told of what was left out. */
static void wait_for_message(void)
{
    const struct kind *kind = longest_left_out();
    uint64_t until = kind ? kind->begun + LOG_WHILE * SECOND : 0;
    struct timespec t = {.tv_sec = (time_t)(until / SECOND), .tv_nsec = (long)(until % SECOND)};

    if (kind)
        pthread_cond_timedwait(&queue.wanted, &queue.lock, &t);
    else
        pthread_cond_wait(&queue.wanted, &queue.lock);
}

static void *run(void *arg)
{
    struct message m;
    LOCK_SCOPE(&queue.lock);

    (void)arg;
    pthread_setname_np(pthread_self(), "vhdxfs-log");
    for (;;) {
        while (next_message(&m)) {
            pthread_mutex_unlock(&queue.lock);
            put(&m);
            pthread_mutex_lock(&queue.lock);
        }
        if (queue.ending)
            return NULL;
        wait_for_message();
    }
}

int log_begin(void)
{
    pthread_condattr_t attributes;
    sigset_t all, before;
    int err;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue.wanted, &attributes);
    pthread_condattr_destroy(&attributes);
    queue.ending = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* they are for others */
    err = -pthread_create(&queue.writer, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    queue.running = !err;
    return err;
}

static void tell_end(void)
{
    LOCK_SCOPE(&queue.lock);

    queue.ending = true;
    pthread_cond_signal(&queue.wanted);
}

bool log_end(void)
{
    struct timespec until;

    if (!queue.running)
        return true;
    tell_end();
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    /* Otherwise it waits for somebody who does not read; the end of the process ends it. */
    if (pthread_timedjoin_np(queue.writer, NULL, &until) != 0)
        return false;
    queue.running = false;
    return true;
}

void log_message(int priority, const char *format, ...)
{
    struct message m;
    va_list args;

    if (priority == LOG_DEBUG && !with_debug)
        return;
    va_start(args, format);
    fill(&m, priority, format, args);
    va_end(args);
    if (!queue.running) {
        put(&m);
        return;
    }
    LOCK_SCOPE(&queue.lock);
    if (priority == LOG_DEBUG || !is_too_much(format, &m))
        enqueue(&m);
    else
        pthread_cond_signal(&queue.wanted); /* it must know when to tell of it */
}

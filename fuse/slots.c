/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/slots.h"

#include "common/cleanup.h"
#include "common/units.h"

#include <sys/mman.h>

#define HUGE_PAGE (2 * MIB)
#define STRIDE    (BACKING_MEMORY_ALIGN + SLOT_PAYLOAD)

int slots_make(struct slots *s, unsigned count)
{
    *s = (struct slots){.count = count,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .put = PTHREAD_COND_INITIALIZER,
                        .size = (size_t)round_up(count * STRIDE, HUGE_PAGE)};
    s->all = calloc(count, sizeof(*s->all));
    if (!s->all)
        return -ENOMEM;
    s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->memory == MAP_FAILED) {
        free(s->all);
        return -ENOMEM;
    }
    madvise(s->memory, s->size, MADV_HUGEPAGE); /* fewer pages to look up; or not */
    for (unsigned i = count; i-- > 0;) {
        s->all[i].payload = s->memory + i * STRIDE + BACKING_MEMORY_ALIGN;
        s->all[i].next = s->free;
        s->free = &s->all[i];
    }
    return 0;
}

void slots_free(struct slots *s)
{
    munmap(s->memory, s->size);
    free(s->all);
}

void slots_rest(struct slots *s)
{
    LOCK_SCOPE(&s->lock);

    for (struct slot *slot = s->free; slot; slot = slot->next)
        madvise(slot->payload - BACKING_MEMORY_ALIGN, STRIDE, MADV_DONTNEED);
}

struct slot *slots_take(struct slots *s, bool wait)
{
    struct slot *slot;
    LOCK_SCOPE(&s->lock);

    while (wait && !s->free)
        pthread_cond_wait(&s->put, &s->lock);
    slot = s->free;
    if (slot)
        s->free = slot->next;
    return slot;
}

void slots_put(struct slots *s, struct slot *slot)
{
    LOCK_SCOPE(&s->lock);

    slot->next = s->free;
    s->free = slot;
    pthread_cond_signal(&s->put);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How an export begins and ends. The start tries all that clients will need later, so that whoever
 * starts it learns what is wrong, and not a client.
 */
#ifndef EXPORT_START_H
#define EXPORT_START_H

#include "export/export.h"

/* What of the settings is for overlay/. */
struct cow_settings export_cow_settings(const struct export_settings *settings);

/*
 * Resolves and judges the source and computes the layout; writes nothing. SETTINGS must outlive
 * EXPORTED. Returns 0 or -errno with FAILURE filled.
 */
int export_prepare(struct exported *exported, const struct export_settings *settings,
                   struct failure *failure);
/*
 * Makes sure that the state is usable (or makes it). With claim_at_mount it takes the device
 * right away. When it fails, the export is over.
 */
int export_start(struct exported *exported, struct failure *failure);
/* Flushes and gives everything back. Returns 0, or -errno when the flush failed. */
int export_stop(struct exported *exported);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/rules.h"

const struct vhdx_rule_info vhdx_rules[VHDX_RULE_COUNT] = {
#define VHDX_RULE_INFO(name, id, severity, section, demand)                                        \
    [VHDX_RULE_##name] = {id, VHDX_##severity, section, demand},
    VHDX_RULES(VHDX_RULE_INFO)
#undef VHDX_RULE_INFO
};

const char *vhdx_severity_name(enum vhdx_severity severity)
{
    static const char *const names[] = {"note", "warning", "error"};

    return names[severity];
}

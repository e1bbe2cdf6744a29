/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/cli.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

static const char help[] = "Usage: vhdxgen check [options] FILE\n"
                           "Judges a VHDX file by every rule of the standard. Never writes to it.\n"
                           "\n"
                           "      --output=text|json  format of the report (text)\n"
                           "      --limit=N           findings shown of each rule; 0: all (16)\n"
                           "  -s, --strict            warnings make the file invalid, too\n"
                           "  -q, --quiet             print nothing, only set the exit code\n"
                           "      --list-rules        print the table of rules and exit\n"
                           "  -h, --help              print this help and exit\n"
                           "  -V, --version           print the version and exit\n"
                           "\n"
                           "Exit codes: 0 no error, 1 usage, 3 the file is invalid, 4 I/O error.\n";

struct check_arguments {
    const char *path;
    bool json, strict, quiet, list;
    unsigned limit;
};

static void print_finding(void *opaque, const struct vhdx_finding *f)
{
    const struct vhdx_rule_info *rule = &vhdx_rules[f->rule];

    (void)opaque;
    printf("%s %s at 0x%" PRIx64 ": %s\n    demanded: %s [MS-VHDX %s]\n",
           vhdx_severity_name(rule->severity), rule->id, f->offset, f->found, rule->demand,
           rule->section);
}

static void collect_finding(void *opaque, const struct vhdx_finding *f)
{
    const struct vhdx_rule_info *rule = &vhdx_rules[f->rule];
    json_object *finding = json_object_new_object();

    add_text(finding, "rule", rule->id);
    add_text(finding, "severity", vhdx_severity_name(rule->severity));
    add_number(finding, "offset", f->offset);
    add_text(finding, "found", f->found);
    add_text(finding, "demanded", rule->demand);
    add_text(finding, "section", rule->section);
    json_object_array_add(opaque, finding);
}

static int list_rules(bool json)
{
    json_object *list = json ? json_object_new_array() : NULL;

    for (int i = 0; i < VHDX_RULE_COUNT; i++) {
        const struct vhdx_rule_info *r = &vhdx_rules[i];
        json_object *rule;

        if (!json) {
            printf("%s\t%s\t%s\t%s\n", r->id, vhdx_severity_name(r->severity), r->section,
                   r->demand);
            continue;
        }
        rule = json_object_new_object();
        add_text(rule, "rule", r->id);
        add_text(rule, "severity", vhdx_severity_name(r->severity));
        add_text(rule, "section", r->section);
        add_text(rule, "demanded", r->demand);
        json_object_array_add(list, rule);
    }
    return json ? print_json(list) : finish_output(EXIT_FINE);
}

static const char *verdict_of(const struct vhdx_report *report)
{
    if (vhdx_report_total(report, VHDX_ERROR))
        return "invalid";
    return vhdx_report_total(report, VHDX_WARNING) ? "warnings" : "clean";
}

static void print_summary(const char *path, const struct vhdx_report *report)
{
    static const char *const words[] = {"clean", "usable, with warnings", "invalid"};
    uint64_t errors = vhdx_report_total(report, VHDX_ERROR);
    uint64_t warnings = vhdx_report_total(report, VHDX_WARNING);

    for (int i = 0; i < VHDX_RULE_COUNT; i++)
        if (report->limit && report->counts[i] > report->limit)
            printf("%s: %" PRIu64 " more findings of this rule not shown\n", vhdx_rules[i].id,
                   report->counts[i] - report->limit);
    printf("%s: %s (%" PRIu64 " errors, %" PRIu64 " warnings, %" PRIu64 " notes)\n", path,
           words[errors     ? 2
                 : warnings ? 1
                            : 0],
           errors, warnings, vhdx_report_total(report, VHDX_NOTE));
}

static int print_report_json(const char *path, const struct vhdx_report *report,
                             const struct vhdx_image *image, json_object *findings)
{
    json_object *top = json_object_new_object(), *counts = json_object_new_object();

    add_number(top, "schema", 1);
    add_text(top, "file", path);
    add_text(top, "kind", vhdx_kind_name(image->kind));
    add_text(top, "verdict", verdict_of(report));
    add_number(top, "errors", vhdx_report_total(report, VHDX_ERROR));
    add_number(top, "warnings", vhdx_report_total(report, VHDX_WARNING));
    add_number(top, "notes", vhdx_report_total(report, VHDX_NOTE));
    json_object_object_add(top, "findings", json_object_get(findings));
    for (int i = 0; i < VHDX_RULE_COUNT; i++)
        if (report->counts[i])
            add_number(counts, vhdx_rules[i].id, report->counts[i]);
    json_object_object_add(top, "counts", counts);
    return print_json(top);
}

static int report_on(const struct check_arguments *a, const struct input *file)
{
    json_object *findings = a->json ? json_object_new_array() : NULL;
    struct vhdx_report report = {
        .finding = a->quiet  ? NULL
                   : a->json ? collect_finding
                             : print_finding,
        .opaque = findings,
        .limit = a->limit,
    };
    struct vhdx_image image;
    int status = check_input(a->path, file, &report, &image);

    if (!status && a->json && !a->quiet)
        status = print_report_json(a->path, &report, &image, findings);
    else if (!status && !a->quiet)
        print_summary(a->path, &report);
    json_object_put(findings);
    vhdx_image_free(&image);
    status = status ? status : finish_output(EXIT_FINE);
    if (!status && (vhdx_report_total(&report, VHDX_ERROR) ||
                    (a->strict && vhdx_report_total(&report, VHDX_WARNING))))
        return EXIT_INVALID_IMAGE;
    return status;
}

/* EXIT_FINE to go on, or -1 when the program is done, with its status in *STATUS. */
static int parse_arguments(int argc, char **argv, struct check_arguments *a, int *status)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {"strict", no_argument, NULL, 's'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"list-rules", no_argument, NULL, 'L'},
                                            GETOPT_COMMON,
                                            {0}};
    char *end;
    int c;

    *status = EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "sqhV", options, NULL)) != -1) {
        switch (c) {
        case 'o':
            if (!parse_output(optarg, &a->json))
                return -1;
            break;
        case 'l':
            a->limit = (unsigned)strtoul(optarg, &end, 10);
            if (end == optarg || *end) {
                complain(EXIT_USAGE, "--limit is a number, not \"%s\"", optarg);
                return -1;
            }
            break;
        case 's':
            a->strict = true;
            break;
        case 'q':
            a->quiet = true;
            break;
        case 'L':
            a->list = true;
            break;
        case 'h':
            *status = print_help(help);
            return -1;
        case 'V':
            *status = print_version();
            return -1;
        default:
            *status = usage_error("check");
            return -1;
        }
    }
    if (a->list)
        return 0;
    if (optind + 1 != argc) {
        complain(EXIT_USAGE, "check takes one FILE");
        *status = usage_error("check");
        return -1;
    }
    a->path = argv[optind];
    return 0;
}

int cmd_check(int argc, char **argv)
{
    struct check_arguments a = {.limit = 16};
    struct input file;
    int status;

    if (parse_arguments(argc, argv, &a, &status) != 0)
        return status;
    if (a.list)
        return list_rules(a.json);
    status = open_input(a.path, O_RDONLY, &file);
    if (!status)
        status = report_on(&a, &file);
    close_input(&file);
    return status;
}

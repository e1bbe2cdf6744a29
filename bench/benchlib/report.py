# SPDX-License-Identifier: GPL-2.0-or-later
"""The report, as Markdown and as one HTML file. Both render the document that is written as JSON."""
import html

HOW_TO_READ = (
    "Each figure is the arm's throughput divided by that of the raw device, both measured in turn in the same run: the median,"
    " and from the smallest to the largest. In parentheses: CPU time of the whole system for one I/O, in microseconds."
    " bench/README tells how it is measured."
)
OF_SUMMARY = (
    "Strongest peer: the fastest of the FUSE exporters of others (CPU time in parentheses); * one that goes through the page"
    " cache, and after it the fastest that does not. Ceiling: 1 / (1 / null + 1), null being the ratio of FUSE without a device;"
    " with several requests in flight the two overlap, and it may be passed."
)
ACROSS = 4  # workloads in a table of results.md
COLUMNS = ("arm", "ratio", "min-max", "MB/s", "IOPS", "mean us", "p99 us", "CPU us/IO")


def devices(document):
    """[(device, results), ...], the one of "results" first."""
    first = [(document["device"], document["results"])]
    return first + [(other["device"], other["results"]) for other in document["other_devices"]]


def unique(results, key):
    return list(dict.fromkeys(entry[key] for entry in results))


def spread(entry):
    return f"{entry['ratio_min']:.2f}-{entry['ratio_max']:.2f}"


def cells(entry):
    return (entry["arm"], f"{entry['ratio']:.2f}", spread(entry),
            *(number(entry[key]) for key in ("mbps", "iops", "lat_us", "p99_us", "cpu_us_per_io")))


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def overview(results):
    """A head and rows: arms down, workloads across."""
    workloads = unique(results, "workload")
    found = {(entry["arm"], entry["workload"]): entry for entry in results}
    rows = []
    for arm in unique(results, "arm"):
        row = [arm]
        for workload in workloads:
            entry = found.get((arm, workload))
            row.append(f"{entry['ratio']:.2f} ({number(entry['cpu_us_per_io'])})" if entry else "-")
        rows.append(row)
    return ["arm", *workloads], rows


def ceiling(floor):
    """The ratio of a request that goes through FUSE (FLOOR times as fast as the device) and the device, one after the other."""
    return 1 / (1 / floor + 1)


def strongest(entries, roles):
    """The fastest peer: its name, ratio and CPU time. When it uses the page cache, the fastest that does not, too."""
    peers = sorted((e for e in entries if roles.get(e["arm"]) in ("peer", "cached")), key=lambda e: -e["ratio"])
    direct = next((e for e in peers if roles[e["arm"]] == "peer"), None)
    shown = [peers[0]] if peers else []
    if direct and direct is not peers[0]:
        shown.append(direct)
    return "; ".join(f"{e['arm']} {e['ratio']:.2f} ({number(e['cpu_us_per_io'])})" + ("*" if e is not direct else "")
                     for e in shown) or "-"


def summary(document, results):
    """A head and rows: for each standard workload vhdxfs, its strongest peer, and what the floor allows."""
    roles = {arm["arm"]: arm.get("role", "-") for arm in document["arms"]}
    floor = next((arm for arm, role in roles.items() if role == "floor"), None)
    rows = []
    for workload in document["standard"]:
        entries = [entry for entry in results if entry["workload"] == workload]
        found = {entry["arm"]: entry for entry in entries}
        own, raw, null = (found.get(name) for name in ("vhdxfs", "raw", floor))
        if not own:
            continue
        rows.append([workload, strongest(entries, roles), f"{own['ratio']:.2f}", spread(own),
                     f"{ceiling(null['ratio']):.2f}" if null else "-", number(own["cpu_us_per_io"]),
                     number(raw["cpu_us_per_io"]) if raw else "-"])
    return ["workload", "strongest FUSE peer", "vhdxfs", "min-max", "ceiling", "CPU us/IO", "raw's"], rows


def facts(document):
    """(name, value) of the machine, its programs and the settings."""
    settings = document["settings"]
    pairs = [*document["machine"].items(), *document["versions"].items()]
    pairs += [("runs", f"{settings['repeats']} of each arm, {settings['runtime_s']} s each, region {settings['region_mib']} MiB"),
              ("load average", f"{document['load'][0]} before, {document['load'][1]} after"),
              ("date", document["date"])]
    return [(name, str(value)) for name, value in pairs]


def arm_lines(document):
    """One line for each arm that is not just a measured one, or has something to say."""
    lines = []
    for arm in document["arms"]:
        said = [arm["status"]] if arm["status"] != "measured" else []
        said += [arm["reason"]] if "reason" in arm else []
        said += ["no O_DIRECT: its load is buffered"] if not arm.get("direct", True) else []
        said += arm.get("notes", [])
        memory = arm.get("peak_memory_mib")
        said += [f"at most {memory} MiB of memory"] if memory else []
        lines.append((f"{arm['arm']} ({arm['device']})", arm["about"], "; ".join(said)))
    return lines


def table(head, rows):
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(text + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows])


def markdown(document):
    parts = ["# vhdxfs bench", HOW_TO_READ]
    if document["settings"]["quick"]:
        parts.append("A quick run: short, few arms; for figures to quote take a full one.")
    for device, results in devices(document):
        parts.append(f"## {device['kind']}: {device['about']}")
        head, rows = summary(document, results)
        parts += [OF_SUMMARY, table(head, rows)] if rows else []
        parts.append(table(*overview(results)))
        for workload in unique(results, "workload"):
            rows = [cells(entry) for entry in results if entry["workload"] == workload]
            parts += [f"### {workload} ({device['kind']})", document["workloads"][workload], table(COLUMNS, rows)]
    parts += ["## Arms", table(("arm", "what it is", "remarks"), arm_lines(document))]
    parts += ["## Machine", table(("", ""), facts(document))]
    return "\n\n".join(parts) + "\n"


def figures(document):
    """results.md: the tables of the report that a document quotes, padded for those who read them as text."""
    parts = []
    for device, results in devices(document):
        parts.append(f"### {device['kind']}: {device['about']}")
        head, rows = summary(document, results)
        parts += [padded(head, rows)] if rows else []
        workloads = unique(results, "workload")
        for first in range(0, len(workloads), ACROSS):
            part = workloads[first:first + ACROSS]
            parts.append(padded(*overview([entry for entry in results if entry["workload"] in part])))
    lines = [f"{arm['arm']} on {arm['device']} {arm['status']}: {arm['reason']}" for arm in document["arms"] if "reason" in arm]
    memory = [arm["peak_memory_mib"] for arm in document["arms"] if arm["arm"] == "vhdxfs" and arm.get("peak_memory_mib")]
    lines += [f"memory of vhdxfs: at most {max(memory)} MiB"] if memory else []
    lines += [f"{name}: {value}" for name, value in facts(document)]
    return "\n\n".join([*parts, "\n".join(f"- {text}" for text in lines)]) + "\n"


STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 1300px; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 0.6em 0 1.4em; font-size: 13px }
th, td { border-bottom: 1px solid #ddd; padding: 0.2em 0.7em; text-align: left; vertical-align: top }
td + td { font-variant-numeric: tabular-nums }
.bar { background: #6a8fbf; height: 0.8em; display: inline-block; vertical-align: middle; margin-right: 0.5em }
.wide { overflow-x: auto }
"""


def html_table(head, rows, bars=None):
    """BARS: the column, if any, whose figures get a bar."""
    text = ["<div class=wide><table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        line = [html.escape(cell) for cell in row]
        if bars is not None:
            width = min(float(row[bars]), 2.0) * 160
            line[bars] = f'<span class=bar style="width:{width:.0f}px"></span>' + line[bars]
        text.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>")
    return "".join(text) + "</table></div>"


def page(document, charts):
    """One HTML page that needs no other file. CHARTS: {device kind: SVG text}."""
    text = [f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>vhdxfs bench</title><style>{STYLE}</style>",
            "<h1>vhdxfs bench</h1>", f"<p>{html.escape(HOW_TO_READ)}</p>"]
    for device, results in devices(document):
        kind = device["kind"]
        text.append(f"<h2>{html.escape(kind)}: {html.escape(device['about'])}</h2>")
        head, rows = summary(document, results)
        text += [f"<p>{html.escape(OF_SUMMARY)}</p>", html_table(head, rows)] if rows else []
        text.append(html_table(*overview(results)))
        if kind in charts:
            text.append("<div class=wide>" + charts[kind][charts[kind].index("<svg"):] + "</div>")
        for workload in unique(results, "workload"):
            rows = [cells(entry) for entry in results if entry["workload"] == workload]
            text.append(f"<h3>{html.escape(workload)}</h3><p>{html.escape(document['workloads'][workload])}</p>")
            text.append(html_table(COLUMNS, rows, bars=1))
    text += ["<h2>Arms</h2>", html_table(("arm", "what it is", "remarks"), arm_lines(document))]
    text += ["<h2>Machine</h2>", html_table(("", ""), facts(document))]
    return "\n".join(text) + "\n</html>\n"


def widths_of(lines):
    return [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]


def aligned(lines):
    widths = widths_of(lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def padded(head, rows):
    """A Markdown table whose columns stand in line."""
    widths = widths_of([head, *rows])
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in [head, *rows]]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def plain(head, rows):
    """The overview for a terminal: turned, since there are more workloads than a line holds and fewer arms than lines."""
    return aligned([list(column) for column in zip(head, *rows)])

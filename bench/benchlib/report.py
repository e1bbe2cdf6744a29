# SPDX-License-Identifier: GPL-2.0-or-later
"""The report, as Markdown and as one HTML file. Both render the document that is written as JSON."""
import html

HOW_TO_READ = (
    "Each figure is the arm's throughput divided by that of the raw device, both measured in turn in the same run: the median,"
    " and from the smallest to the largest. In parentheses: CPU time of the whole system for one I/O, in microseconds."
    " bench/README tells how it is measured."
)
COLUMNS = ("arm", "ratio", "min-max", "MB/s", "IOPS", "mean us", "p99 us", "CPU us/IO")


def devices(document):
    """[(device, results), ...], the one of "results" first."""
    first = [(document["device"], document["results"])]
    return first + [(other["device"], other["results"]) for other in document["other_devices"]]


def unique(results, key):
    return list(dict.fromkeys(entry[key] for entry in results))


def cells(entry):
    spread = f"{entry['ratio_min']:.2f}-{entry['ratio_max']:.2f}"
    return (entry["arm"], f"{entry['ratio']:.2f}", spread,
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
        parts += [f"## {device['kind']}: {device['about']}", table(*overview(results))]
        for workload in unique(results, "workload"):
            rows = [cells(entry) for entry in results if entry["workload"] == workload]
            parts += [f"### {workload} ({device['kind']})", document["workloads"][workload], table(COLUMNS, rows)]
    parts += ["## Arms", table(("arm", "what it is", "remarks"), arm_lines(document))]
    parts += ["## Machine", table(("", ""), facts(document))]
    return "\n\n".join(parts) + "\n"


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


def plain(head, rows):
    """The overview for a terminal: turned, since there are more workloads than a line holds and fewer arms than lines."""
    lines = [list(column) for column in zip(head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)

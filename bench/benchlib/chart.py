# SPDX-License-Identifier: GPL-2.0-or-later
"""The chart: a panel for each workload, a bar for each arm, drawn by gnuplot as SVG."""
import shutil
import subprocess

COLUMNS, WIDTH, MARGIN, ROW = 3, 420, 70, 19


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def script(path, panels):
    """PANELS: [(workload, [result, ...]), ...]"""
    rows = -(-len(panels) // COLUMNS)
    height = max(len(bars) for _, bars in panels) * ROW + MARGIN
    lines = [
        f"set terminal svg size {WIDTH * COLUMNS},{height * rows} background '#ffffff' font 'sans,11'",
        f"set output {quoted(path)}",
        f"set multiplot layout {rows},{COLUMNS}",
        "set style fill solid 0.7 noborder", "set grid xtics", "set tics nomirror scale 0.4", "set border 3", "set lmargin 22",
        "unset key",
    ]
    for workload, bars in panels:
        labels = ", ".join(f"{quoted(bar['arm'])} {index}" for index, bar in enumerate(bars))
        top = max([1.0] + [bar["ratio_max"] for bar in bars]) * 1.05
        lines += [
            f"set title {quoted(workload)} noenhanced", f"set ytics ({labels}) noenhanced",
            f"set yrange [{len(bars) - 0.4}:-0.6]", f"set xrange [0:{top:.3f}]", "$data << END",
            *(f"{index} {bar['ratio']} {bar['ratio_min']} {bar['ratio_max']} {color(bar['arm'])}"
              for index, bar in enumerate(bars)), "END",
            "plot $data using ($2/2):1:($2/2):(0.36):5 with boxxyerror linecolor rgb variable, "
            "$data using 2:1:3:4 with xerrorbars linecolor rgb '#333333' pointtype 7 pointsize 0.15",
        ]
    return "\n".join(lines + ["unset multiplot", ""])


def color(arm):
    """gnuplot's 0xRRGGBB: raw grey, ours green, ext4 and others blue."""
    return 0x999999 if arm == "raw" else 0x2E8B57 if "vhdxfs" in arm else 0x6A8FBF


def draw(path, results):
    """Writes the SVG. Returns '' or the reason why not."""
    if not shutil.which("gnuplot"):
        return "gnuplot is not installed"
    if not results:
        return "nothing was measured"
    workloads = list(dict.fromkeys(entry["workload"] for entry in results))
    panels = [(workload, [entry for entry in results if entry["workload"] == workload]) for workload in workloads]
    done = subprocess.run(["gnuplot"], input=script(path, panels), capture_output=True, text=True, check=False)
    if done.returncode:
        return "gnuplot: " + (done.stderr.strip().splitlines() or ["failed"])[-1]
    return ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The pure parts of bench/run. From bench/: python3 -m unittest discover tests"""
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchlib import arm, catalog, chart, cli, compare, fio, plan, report, smb, stats  # noqa: E402
from benchlib.errors import BenchError  # noqa: E402

STANDARD = {f"{kind}{way}-{rest}" for way in ("read", "write")
            for kind, rests in (("seq", ("1m-qd1", "1m-qd8")), ("rand", ("4k-qd1", "4k-qd32")))
            for rest in rests}


def entry(arm_name="vhdxfs", workload="seqread-1m-qd1", ratio=0.6, least=0.58, greatest=0.62, **more):
    figures = {"mbps": 1.0, "iops": 1.0, "lat_us": 1.0, "p99_us": 1.0, "cpu_us_per_io": 1.0}
    return {"arm": arm_name, "workload": workload, "device": "ram", "ratio": ratio, "ratio_min": least,
            "ratio_max": greatest, **figures, **more}


class Stats(unittest.TestCase):
    def test_pairs_are_taken_with_the_raw_runs_around_them(self):
        # The device gets slower from run to run; the arm is always half of what is around it.
        self.assertEqual(stats.paired_ratios([45, 35], [100, 80, 60]), [0.5, 0.5])

    def test_pairs_need_a_raw_run_on_both_sides(self):
        with self.assertRaises(ValueError):
            stats.paired_ratios([1, 1], [1, 1])

    def test_raw_against_itself(self):
        self.assertEqual(stats.neighbour_ratios([10, 15, 20]), [1.0])
        self.assertEqual(stats.neighbour_ratios([10, 20, 10]), [2.0])
        self.assertEqual(stats.neighbour_ratios([10, 20]), [1.0, 1.0])

    def test_summary_is_the_median_and_the_ends(self):
        self.assertEqual(stats.summary([0.9, 0.1, 0.5]), (0.5, 0.1, 0.9))

    def test_cpu_is_what_the_system_used_without_fios_own_start(self):
        self.assertAlmostEqual(stats.cpu_us_per_io(1.5, 0.5, 100000), 10.0)
        self.assertEqual(stats.cpu_us_per_io(0.1, 0.2, 10), 0.0)
        self.assertEqual(stats.cpu_us_per_io(1.0, 0.0, 0), 0.0)

    def test_verdict_needs_more_than_the_wider_spread(self):
        old = entry(ratio=0.60, least=0.55, greatest=0.65)
        self.assertEqual(stats.verdict(old, entry(ratio=0.45, least=0.44, greatest=0.46), 0.05), "slower")
        self.assertEqual(stats.verdict(old, entry(ratio=0.75, least=0.74, greatest=0.76), 0.05), "faster")
        self.assertIsNone(stats.verdict(old, entry(ratio=0.52, least=0.51, greatest=0.53), 0.05))
        self.assertIsNone(stats.verdict(old, entry(ratio=0.45, least=0.30, greatest=0.60), 0.05))
        self.assertIsNone(stats.verdict(old, old, 0.0))

    def test_verdict_leaves_small_changes_alone_however_narrow_the_spread(self):
        old, new = entry(ratio=1.0, least=1.0, greatest=1.0), entry(ratio=0.96, least=0.96, greatest=0.96)
        self.assertIsNone(stats.verdict(old, new, 0.05))
        self.assertEqual(stats.verdict(old, new, 0.03), "slower")


class Catalog(unittest.TestCase):
    def test_every_arm_has_a_script_and_an_explanation(self):
        arms = catalog.load_arms()
        self.assertEqual(len({a.name for a in arms}), len(arms))
        for a in arms:
            self.assertTrue(os.access(a.command[0], os.X_OK), a.command[0])
            self.assertTrue(a.about, a.name)
            self.assertLessEqual(set(a.runs), {"quick", "ram", "disk", "-"}, a.name)
            self.assertIn(a.role, catalog.ROLES, a.name)
        self.assertEqual([a.name for a in arms if a.role == "floor"], ["null"])

    def test_the_standard_workloads_are_there_and_quick(self):
        quick = {w.name for w in catalog.load_workloads() if w.quick}
        self.assertEqual(quick, STANDARD)

    def test_which_workloads_write(self):
        for w in catalog.load_workloads():
            with open(w.path, encoding="utf-8") as file:
                self.assertEqual(w.writes, "write\n" in file.read(), w.name)

    def test_select_by_name_and_pattern(self):
        arms = catalog.load_arms()
        self.assertEqual([a.name for a in catalog.select(arms, ["raw", "qsd"], "arm")], ["qsd"])
        self.assertIn("loop-vhdxfs", [a.name for a in catalog.select(arms, ["*vhdxfs"], "arm")])
        with self.assertRaises(BenchError):
            catalog.select(arms, ["vhdx"], "arm")


class Plan(unittest.TestCase):
    def sessions(self, devices, quick):
        workloads = [w for w in catalog.load_workloads() if w.quick or not quick]
        return plan.sessions(devices, catalog.load_arms(), workloads, False)

    def test_a_quick_run_takes_less_than_two_minutes(self):
        quick = self.sessions(["quick"], True)
        self.assertTrue(quick)
        self.assertLess(plan.estimate(quick, 3, plan.runtime_for(quick, 3, cli.QUICK_BUDGET)), 90)
        self.assertGreaterEqual(plan.runtime_for(quick, 3, cli.QUICK_BUDGET), 0.3)

    def test_a_full_run_takes_less_than_thirty_minutes(self):
        full = self.sessions(["ram", "disk"], False)
        runtime = plan.runtime_for(full, 3, cli.FULL_BUDGET)
        self.assertGreaterEqual(runtime, 0.4)
        self.assertLess(plan.estimate(full, 3, runtime), 27 * 60)

    def test_the_help_says_how_long_a_full_run_takes(self):
        text = cli.parser().format_help()
        full = self.sessions(["ram", "disk"], False)
        self.assertIn(f"{plan.run_count(full, cli.REPEATS)} runs of", text)
        self.assertRegex(text, r"2[0-6] minutes\. No arm is begun after 26 minutes")

    def test_the_floor_and_our_disk_are_in_a_full_run_and_a_quick_one_builds_no_floor(self):
        names = {s.arm.name for s in self.sessions(["ram", "disk"], False)}
        self.assertLessEqual({"null", "vhdxfs-disk", "qsd", "nbdkit", "xmount"}, names)
        self.assertNotIn("floor", {s.arm.role for s in self.sessions(["quick"], True)})

    def test_named_arms_run_with_every_workload(self):
        arms, workloads = catalog.load_arms(), catalog.load_workloads()
        self.assertTrue(all(len(s.workloads) == len(workloads) for s in plan.sessions(["ram"], arms, workloads, True)))

    def test_progress_ends_at_no_time_left(self):
        progress = plan.Progress(4, 40, io.StringIO())
        self.assertGreater(progress.left(), 39)
        progress.step("all", 4)
        self.assertEqual(round(progress.left()), 0)


class Offers(unittest.TestCase):
    def offer(self, *words):
        return arm.parse_offer(b"".join(word.encode() + b"\0" for word in (*words, "\n")), 4096)

    def test_all_keys(self):
        target = self.offer("/x y", "12", "direct=no", "writes=no", "pid=3", "pid=4", "note=a=b", "note=")
        self.assertEqual((target.path, target.offset, target.size), ("/x y", 12, 4096))
        self.assertEqual((target.direct, target.writes, target.pids, target.notes), (False, False, [3, 4], ["a=b"]))

    def test_an_unknown_key_is_an_error(self):
        with self.assertRaises(arm.ArmError):
            self.offer("/x", "0", "colour=red")


class Digest(unittest.TestCase):
    def test_the_side_that_worked_is_reported(self):
        idle = {"total_ios": 0}
        side = {"total_ios": 1000, "bw_bytes": 2500000, "iops": 500.0, "lat_ns": {"mean": 2000.0},
                "clat_ns": {"max": 9000, "percentile": {"99.000000": 5000}}}
        job = {"read": idle, "write": side, "trim": idle, "usr_cpu": 10.0, "sys_cpu": 40.0, "job_runtime": 2000,
               "job options": {}}
        run = fio.digest(job, busy=3.0, children=1.5)  # the load itself used 1.0 of fio's 1.5 seconds
        self.assertEqual((run["mbps"], run["iops"], run["lat_us"], run["p99_us"]), (2.5, 500.0, 2.0, 5.0))
        self.assertAlmostEqual(run["cpu_us_per_io"], 2500.0)
        self.assertNotIn("read", run["fio"])


class Smb(unittest.TestCase):
    def test_only_direct_workloads_with_one_request_a_job(self):
        able = {w.name for w in catalog.load_workloads() if smb.can(w)}
        self.assertEqual(able, {f"{name}-qd1" for name in ("seqread-1m", "seqwrite-1m", "randread-4k", "randwrite-4k")} |
                         {"randread-4k-8jobs", "randwrite-4k-8jobs"})


class Compare(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, name, results, **more):
        path = os.path.join(self.directory.name, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"results": results, **more}, file)
        return path

    def compare(self, old, new, allow_missing=False, old_arms=(), new_arms=()):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = compare.compare(self.file("old", old, arms=list(old_arms)), self.file("new", new, arms=list(new_arms)), 0.05,
                                   allow_missing)
        return code, out.getvalue()

    @staticmethod
    def became(status, name="qsd", device="ram", **more):
        return {"arm": name, "device": device, "status": status, **more}

    def test_equal(self):
        self.assertEqual(self.compare([entry()], [entry()])[0], 0)

    def test_slower(self):
        code, text = self.compare([entry()], [entry(ratio=0.3, least=0.29, greatest=0.31)])
        self.assertEqual(code, 5)
        self.assertIn("slower  ram    vhdxfs", text)

    def test_faster_is_no_failure(self):
        code, text = self.compare([entry()], [entry(ratio=0.9, least=0.89, greatest=0.91)])
        self.assertEqual(code, 0)
        self.assertIn("1 faster", text)

    def test_an_arm_nobody_asked_for_any_more(self):
        code, text = self.compare([entry(), entry("qsd")], [entry()])
        self.assertEqual(code, 5)
        self.assertRegex(text, r"missing +ram +qsd +all of it\n")
        self.assertEqual(self.compare([entry(), entry("qsd")], [entry()], allow_missing=True)[0], 0)

    def test_a_workload_nobody_asked_for_any_more(self):
        old = [entry(), entry(workload="randread-4k-qd1"), entry(workload="seqread-1m-qd8")]
        code, text = self.compare(old, old[:1])
        self.assertEqual(code, 5)
        self.assertRegex(text, r"missing +ram +vhdxfs +randread-4k-qd1, seqread-1m-qd8\n")
        self.assertEqual(self.compare(old, old[:1], allow_missing=True)[0], 0)

    def test_the_same_arm_on_another_device_does_not_replace_it(self):
        old, new = [entry(device="disk"), entry("qsd")], [entry(), entry("qsd")]
        code, text = self.compare(old, new)
        self.assertEqual(code, 5)
        self.assertRegex(text, r"missing +disk +vhdxfs +all of it")

    def test_an_arm_that_is_skipped_now(self):
        skipped = [self.became("skipped", reason="no qsd here")]
        code, text = self.compare([entry(), entry("qsd")], [entry()], new_arms=skipped)
        self.assertEqual(code, 5)
        self.assertRegex(text, r"skipped +ram +qsd +all of it: no qsd here\n")
        self.assertEqual(self.compare([entry(), entry("qsd")], [entry()], True, new_arms=skipped)[0], 0)

    def test_an_arm_that_fails_now_is_never_allowed(self):
        failed = [self.became("FAILED", reason="not serving")]
        for allow in (False, True):
            code, text = self.compare([entry(), entry("qsd")], [entry()], allow, new_arms=failed)
            self.assertEqual(code, 5)
            self.assertRegex(text, r"FAILED +ram +qsd +all of it: not serving\n")

    def test_a_workload_that_fails_now(self):
        old = [entry("qsd"), entry("qsd", workload="randread-4k-qd1")]
        failed = [self.became("FAILED", reason="randread-4k-qd1: hung")]
        code, text = self.compare(old, old[:1], True, new_arms=failed)
        self.assertEqual(code, 5)
        self.assertRegex(text, r"FAILED +ram +qsd +randread-4k-qd1: randread-4k-qd1: hung\n")

    def test_an_arm_that_fails_at_its_end_has_lost_no_result_and_fails(self):
        failed = [self.became("FAILED", reason="its end failed")]
        code, text = self.compare([entry("qsd")], [entry("qsd")], True, [self.became("measured")], failed)
        self.assertEqual(code, 5)
        self.assertRegex(text, r"FAILED +ram +qsd +its end: its end failed")
        self.assertEqual(self.compare([entry("qsd")], [entry("qsd")], False, failed, failed)[0], 0)

    def test_nothing_is_left_because_all_of_it_fails(self):
        code, text = self.compare([entry("qsd")], [], True, new_arms=[self.became("FAILED", reason="broken")])
        self.assertEqual(code, 5)
        self.assertIn("0 compared", text)

    def test_what_the_old_one_did_not_measure_is_new(self):
        code, text = self.compare([entry()], [entry(), entry("qsd")])
        self.assertEqual(code, 0)
        self.assertIn("new: qsd on ram", text)

    def test_the_command_line(self):
        old, new = self.file("old", [entry(), entry("qsd")]), self.file("new", [entry()])
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(cli.main(["compare", old, new]), 5)
            self.assertEqual(cli.main(["compare", old, new, "--allow-missing"]), 0)

    def test_other_devices_are_compared_too(self):
        slow = [entry(ratio=0.1, least=0.1, greatest=0.1, device="disk")]
        old = self.file("old", [entry()], other_devices=[{"results": [entry(device="disk")]}])
        new = self.file("new", [entry()], other_devices=[{"results": slow}])
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(compare.compare(old, new, 0.05), 5)

    def test_nothing_in_common_or_no_result_is_an_error(self):
        with self.assertRaises(BenchError):
            self.compare([entry()], [entry("qsd")])
        path = self.file("broken", "text")
        with self.assertRaises(BenchError):
            compare.compare(path, path, 0.05)


class Report(unittest.TestCase):
    def setUp(self):
        self.document = {
            "settings": {"quick": True, "repeats": 3, "runtime_s": 1, "region_mib": 1}, "date": "today", "load": [0, 0],
            "device": {"kind": "ram", "about": "a <loop> device"}, "other_devices": [],
            "results": [entry("raw", ratio=1.0), entry(), entry(workload="randread-4k-qd1")],
            "arms": [{"arm": "vhdxfs", "about": "us", "device": "ram", "status": "measured", "direct": False, "notes": ["a|b"]},
                     {"arm": "dm", "about": "dm", "device": "ram", "status": "skipped", "reason": "no device-mapper"}],
            "workloads": {"seqread-1m-qd1": "one", "randread-4k-qd1": "two"}, "standard": ["seqread-1m-qd1", "randread-4k-qd1"],
            "machine": {"kernel": "6"}, "versions": {},
        }

    def test_markdown_says_what_was_skipped_and_what_is_missing(self):
        text = report.markdown(self.document)
        self.assertIn("| vhdxfs | 0.60 (1.0) | 0.60 (1.0) |", text)
        self.assertIn("| raw | 1.00 (1.0) | - |", text)
        self.assertIn("skipped; no device-mapper", text)
        self.assertIn("no O_DIRECT: its load is buffered; a\\|b", text)

    def with_peers(self):
        """As the document, with peers and the floor."""
        document = dict(self.document)
        document["results"] = self.document["results"] + [
            entry("nbdkit", ratio=0.9), entry("qsd", ratio=0.33, cpu_us_per_io=57.0), entry("qsd-vhdx-ext4", ratio=0.2),
            entry("ext4", ratio=1.1), entry("null", ratio=1.5), entry("qsd", "randread-4k-qd1", ratio=0.5)]
        document["arms"] = self.document["arms"] + [
            {"arm": name, "about": name, "device": "ram", "status": "measured", "role": role} for name, role in
            (("nbdkit", "cached"), ("qsd", "peer"), ("qsd-vhdx-ext4", "peer"), ("ext4", "-"), ("null", "floor"))]
        return document

    def test_the_summary_has_the_strongest_peer_and_the_ceiling(self):
        document = self.with_peers()
        _head, rows = report.summary(document, document["results"])
        self.assertEqual(rows, [
            ["seqread-1m-qd1", "nbdkit 0.90 (1.0)*; qsd 0.33 (57.0)", "0.60", "0.58-0.62", "0.60", "1.0", "1.0"],
            ["randread-4k-qd1", "qsd 0.50 (1.0)", "0.60", "0.58-0.62", "-", "1.0", "-"]])

    def test_the_summary_without_peers_and_without_vhdxfs(self):
        _head, rows = report.summary(self.document, self.document["results"])
        self.assertEqual([row[1] for row in rows], ["-", "-"])
        self.assertEqual(report.summary(self.document, [entry("raw")])[1], [])

    def test_the_ceiling(self):
        self.assertAlmostEqual(report.ceiling(1.0), 0.5)
        self.assertAlmostEqual(report.ceiling(3.0), 0.75)

    def test_the_summary_is_in_every_report(self):
        document = self.with_peers()
        self.assertIn("| seqread-1m-qd1 | nbdkit 0.90 (1.0)*; qsd 0.33 (57.0) | 0.60 |", report.markdown(document))
        self.assertIn("<td>nbdkit 0.90 (1.0)*; qsd 0.33 (57.0)</td>", report.page(document, {}))
        text = report.figures(document)
        self.assertRegex(text, r"\| seqread-1m-qd1  \| nbdkit 0.90 \(1.0\)\*; qsd 0.33 \(57.0\) \| 0.60   \|")
        self.assertIn("- dm on ram skipped: no device-mapper", text)
        self.assertIn("- kernel: 6", text)
        for part in text.split("\n\n"):  # every table stands in line
            if part.startswith("|"):
                self.assertEqual(len({len(line) for line in part.splitlines()}), 1, part)

    def test_the_page_is_escaped_and_stands_alone(self):
        text = report.page(self.document, {"ram": '<?xml version="1.0"?><svg></svg>'})
        self.assertIn("a &lt;loop&gt; device", text)
        self.assertIn("<svg></svg>", text)
        self.assertNotIn("<?xml", text)
        for outside in ("src=", "href=", "http"):
            self.assertNotIn(outside, text)

    def test_the_chart_has_a_panel_for_each_workload(self):
        text = chart.script("/x", [("a", [entry("raw"), entry()]), ("b", [entry()])])
        self.assertEqual(text.count("\nplot "), 2)


if __name__ == "__main__":
    unittest.main()

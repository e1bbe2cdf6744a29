# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of bench/run, from the pure to the dirty:

stats     ratios and spreads                    catalog  arms.list and the fio files
plan      what runs, how long, how far we are   machine  facts about this machine
report    Markdown and HTML     chart  gnuplot  compare  two results against each other
source    may this device be overwritten?       scratch  RAM-backed and disk-backed loop devices
fio       one run of fio                        arm      a script of bench/arms while it is up
measure   the alternation                       cli      the command line
"""

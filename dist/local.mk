# SPDX-License-Identifier: GPL-2.0-or-later
# What is installed beside the programs. Where to: see configure.
EXTRA_DIST += dist/completions dist/systemd dist/samba dist/windows

bashcompletiondir = @bashcompletiondir@
windowsdir = $(docdir)/windows
sambadir = $(docdir)/samba
dist_windows_DATA = dist/windows/README dist/windows/Import-VhdxfsDistro.ps1
if COMPLETIONS
dist_bashcompletion_DATA = dist/completions/vhdxgen
endif

if DAEMON
dist_samba_DATA = dist/samba/vhdxfs.conf
systemddocdir = $(docdir)/systemd
dist_systemddoc_DATA = dist/systemd/fstab.example dist/systemd/srv-wsl.mount
if COMPLETIONS
dist_bashcompletion_DATA += dist/completions/vhdxfs
endif
if SYSTEMD
systemdsystemunit_DATA = dist/systemd/vhdxfs@.service
CLEANFILES += $(systemdsystemunit_DATA)
endif
endif

dist/systemd/vhdxfs@.service: dist/systemd/vhdxfs@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) dist/systemd && \
	$(SED) 's|[@]sbindir[@]|$(sbindir)|' '$(srcdir)/dist/systemd/vhdxfs@.service.in' >$@.new && mv $@.new $@

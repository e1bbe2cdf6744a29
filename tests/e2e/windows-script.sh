#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The script for Windows is stored as PowerShell 5.1 reads it (UTF-8 with BOM, CRLF), and a grammar of PowerShell accepts it.
# It is not run: there is no Windows here, and Debian has no PowerShell.
# test: timeout=180 asan=no
. "$(dirname "$0")/lib.sh"

script=$SRC/dist/windows/Import-VhdxfsDistro.ps1
note "bytes"
expect_equal "the first bytes" "$(head -c 3 "$script" | od -An -tx1 | tr -d ' ')" efbbbf
expect_equal "lines that do not end in CR LF" "$(grep -c -v $'\r$' "$script" || true)" 0
expect_equal "CRs elsewhere" "$(sed 's/\r$//' "$script" | grep -c $'\r' || true)" 0
expect_equal "lines with other than ASCII behind the BOM" "$(tail -c +4 "$script" | grep -c -P '[^\x00-\x7f]' || true)" 0
expect_grep 'SupportsShouldProcess' "$script"

note "what it must never do"
! grep -nEi '(Initialize-Disk|Format-Volume|Clear-Disk|Remove-Item|--unregister|Repair-Volume|Invoke-Expression)' \
    <(sed '/^<#/,/^#>/d' "$script") || fail "a command that destroys"

# The CHAP secret becomes plain text in one place, and what is printed or reported never has it.
expect_equal "places where a secret is plain text" "$(grep -c 'GetNetworkCredential\|SecureStringTo\|PtrToString' "$script")" 1
no_secret() { ! grep -nEi '(Write-[A-Z]|Add-Step|Report|Stop-Script|Message\b).*\$(arguments|ChapSecret)' "$1"; }
no_secret "$script" || fail "a secret is printed"
echo 'Write-Host "with $ChapSecret"' >"$SCRATCH/leak.ps1"
! no_secret "$SCRATCH/leak.ps1" >/dev/null || fail "that would not be seen"

note "grammar"
# Versions that were tried; the packages have the grammar as WebAssembly, so nothing is compiled or run at the installation.
packages=(tree-sitter-powershell@0.26.4 web-tree-sitter@0.27.1)
command -v node >/dev/null && command -v npm >/dev/null || skip "no parser for PowerShell: node or npm is not installed"
cache=${VHDXFS_TEST_CACHE:-/var/cache/vhdxfs-tests}/powershell-grammar
if [[ ! -e $cache/complete ]]; then
    mkdir -p "$cache"
    # Outside of the cache first: two runs may do this at a time.
    (cd "$SCRATCH" && timeout 90 npm install --prefix "$SCRATCH/npm" --ignore-scripts --no-audit --no-fund --no-save \
        "${packages[@]}") >"$SCRATCH/npm.log" 2>&1 ||
        skip "no parser for PowerShell: npm could not install it: $(grep -m 1 -i 'err' "$SCRATCH/npm.log")"
    cp -a "$SCRATCH/npm/node_modules" "$cache/"
    touch "$cache/complete"
fi
# Without this flag V8 spends its time on optimizing the grammar, which runs once.
parse=(node --liftoff-only "$SRC/tests/windows/parse.mjs" "$cache/node_modules")
"${parse[@]}" "$script"
# It does see errors: a parenthesis less.
head -c 200 "$script" | sed 's/#.*//' >"$SCRATCH/broken.ps1"
echo 'function f { if ($x { 1 } }' >>"$SCRATCH/broken.ps1"
expect_fail 1 'errors' "${parse[@]}" "$SCRATCH/broken.ps1"

# SPDX-License-Identifier: GPL-2.0-or-later
#Requires -Version 5.1
<#
.SYNOPSIS
    Imports a VHDX that vhdxfs serves as a WSL distribution, and reports what happened.

.DESCRIPTION
    Finds the VHDX (at -Path, or on the disk of an iSCSI target), checks that it is what WSL accepts, registers it with
    "wsl --import-in-place", starts the distribution once, and writes a report in JSON.

    It changes nothing that it finds done already, so it can be run again. With -WhatIf it changes nothing at all and says
    what it would do. It never initializes, formats or repairs a disk, and never deletes or moves the VHDX.

    This script has been parsed, and read; it has not been run on Windows by those who wrote it. Reports are welcome:
    attach the file to an issue. Look through it first: it has paths, disk names and security identifiers of this
    computer, no passwords, no names of users but those in paths.

.PARAMETER Path
    The VHDX on a drive or a share, such as Z:\ext4.vhdx or \\server\wsl\ext4.vhdx.

.PARAMETER IscsiPortal
    Address of the iSCSI server that has the disk with the VHDX. Needs an elevated PowerShell.

.PARAMETER IscsiTarget
    The target's name (iqn...). Not needed when the server has one only.

.PARAMETER ChapUser
    The user that the target asks for (CHAP), with -ChapSecret. Not needed for one that asks for none, or is connected
    already.

.PARAMETER ChapSecret
    Its secret, as a SecureString: (Read-Host -AsSecureString 'CHAP secret'). Windows wants 12 to 16 characters. It goes to
    the iSCSI initiator only, and into no report or message. "powershell -File" cannot hand over a SecureString: call the
    script at a prompt of PowerShell, as in the examples.

.PARAMETER FileName
    Name of the VHDX on the iSCSI disk.

.PARAMETER DistroName
    The name under which WSL gets to know it.

.PARAMETER ReportPath
    Where the report goes. An older one is replaced.

.PARAMETER VerifyOnly
    Check and report, but do not import and start.

.PARAMETER TimeoutSeconds
    How long one call of wsl.exe may take.

.EXAMPLE
    .\Import-VhdxfsDistro.ps1 -Path Z:\ext4.vhdx -DistroName MyLinux -WhatIf

.EXAMPLE
    .\Import-VhdxfsDistro.ps1 -IscsiPortal 192.168.1.5 -DistroName MyLinux

.EXAMPLE
    .\Import-VhdxfsDistro.ps1 -IscsiPortal 192.168.1.5 -ChapUser vhdxfs -ChapSecret (Read-Host -AsSecureString 'CHAP secret')

.NOTES
    Exit codes: 0 done; 1 wrong usage; 2 unsafe, or in the way of something; 3 not a VHDX; 4 a step failed.
#>
[CmdletBinding(SupportsShouldProcess = $true, DefaultParameterSetName = 'Path')]
param(
    [Parameter(Mandatory = $true, ParameterSetName = 'Path', Position = 0)]
    [ValidateNotNullOrEmpty()]
    [string]$Path,

    [Parameter(Mandatory = $true, ParameterSetName = 'Iscsi')]
    [ValidateNotNullOrEmpty()]
    [string]$IscsiPortal,

    [Parameter(ParameterSetName = 'Iscsi')]
    [string]$IscsiTarget,

    [Parameter(ParameterSetName = 'Iscsi')]
    [string]$ChapUser,

    [Parameter(ParameterSetName = 'Iscsi')]
    [System.Security.SecureString]$ChapSecret,

    [Parameter(ParameterSetName = 'Iscsi')]
    [string]$FileName = 'ext4.vhdx',

    [ValidatePattern('^[A-Za-z0-9._-]+$')]
    [string]$DistroName = 'vhdxfs',

    [string]$ReportPath = (Join-Path $env:USERPROFILE 'vhdxfs-report.json'),

    [switch]$VerifyOnly,

    [ValidateRange(10, 3600)]
    [int]$TimeoutSeconds = 180
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$ExitUsage = 1
$ExitUnsafe = 2
$ExitInvalid = 3
$ExitFailed = 4

$Report = [ordered]@{
    script  = 'Import-VhdxfsDistro 1'
    started = (Get-Date).ToUniversalTime().ToString('s') + 'Z'
    whatIf  = [bool]$WhatIfPreference
    result  = 'not finished'
    code    = $ExitFailed
    system  = [ordered]@{}
    file    = [ordered]@{}
    steps   = @()
}

# An error with the exit code it leads to.
function Stop-Script {
    param([int]$Code, [string]$Message)

    $exception = New-Object System.InvalidOperationException $Message
    $exception.Data['ExitCode'] = $Code
    throw $exception
}

function Add-Step {
    param([string]$Name, [string]$Status, $Detail, [double]$Seconds = 0)

    $script:Report.steps += [ordered]@{
        name    = $Name
        status  = $Status
        detail  = $Detail
        seconds = [Math]::Round($Seconds, 1)
    }
    Write-Host ('{0,-8} {1}' -f $Status, $Name)
}

# A fact for the report, which this system may not be able to tell.
function Get-Fact {
    param([scriptblock]$From)

    try {
        return (& $From)
    }
    catch {
        return ('unknown: ' + $_.Exception.Message)
    }
}

# Runs a program; its output and exit code. PowerShell 5.1 would make errors of what it writes to standard error.
function Invoke-Program {
    param([string]$Program, [string]$Arguments, [int]$Timeout = $TimeoutSeconds)

    $info = New-Object System.Diagnostics.ProcessStartInfo
    $info.FileName = $Program
    $info.Arguments = $Arguments
    $info.UseShellExecute = $false
    $info.CreateNoWindow = $true
    $info.RedirectStandardOutput = $true
    $info.RedirectStandardError = $true
    $info.RedirectStandardInput = $true
    $info.StandardOutputEncoding = [System.Text.Encoding]::UTF8
    $info.StandardErrorEncoding = [System.Text.Encoding]::UTF8
    # Otherwise wsl.exe writes UTF-16.
    $info.EnvironmentVariables['WSL_UTF8'] = '1'
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $process = [System.Diagnostics.Process]::Start($info)
    $process.StandardInput.Close()
    $output = $process.StandardOutput.ReadToEndAsync()
    $errors = $process.StandardError.ReadToEndAsync()
    if (-not $process.WaitForExit($Timeout * 1000)) {
        $process.Kill()
        return [ordered]@{ command = "$Program $Arguments"; code = -1; output = "no end after $Timeout s"; seconds = $Timeout }
    }
    $process.WaitForExit()
    return [ordered]@{
        command = "$Program $Arguments"
        code    = $process.ExitCode
        output  = ($output.Result + $errors.Result).Trim()
        seconds = $clock.Elapsed.TotalSeconds
    }
}

function Test-Elevated {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $identity
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

function Find-Wsl {
    $command = Get-Command -Name 'wsl.exe' -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    if ($null -eq $command) {
        Stop-Script $ExitFailed 'wsl.exe is not there. Install WSL first: wsl --install --no-distribution'
    }
    return $command.Definition
}

function Get-SystemFacts {
    param([string]$Wsl)

    $facts = [ordered]@{}
    $facts.windows = Get-Fact { (Get-CimInstance -ClassName Win32_OperatingSystem).Caption }
    $facts.build = Get-Fact { [Environment]::OSVersion.Version.ToString() }
    $facts.powershell = $PSVersionTable.PSVersion.ToString()
    $facts.elevated = Test-Elevated
    $facts.wsl = Get-Fact { (Invoke-Program $Wsl '--version' 30).output }
    $facts.wslStatus = Get-Fact { (Invoke-Program $Wsl '--status' 30).output }
    $facts.fastStartup = Get-Fact {
        (Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Power' -Name HiberbootEnabled).HiberbootEnabled
    }
    return $facts
}

# --- the disk of an iSCSI target ----------------------------------------------------------------------------------------

function Connect-Portal {
    $service = Get-Service -Name MSiSCSI
    if ($service.Status -ne 'Running' -and $PSCmdlet.ShouldProcess('MSiSCSI', 'start the service')) {
        Start-Service -Name MSiSCSI
    }
    $portal = Get-IscsiTargetPortal -ErrorAction SilentlyContinue | Where-Object { $_.TargetPortalAddress -eq $IscsiPortal }
    if ($null -eq $portal) {
        if ($PSCmdlet.ShouldProcess($IscsiPortal, 'add the iSCSI portal')) {
            New-IscsiTargetPortal -TargetPortalAddress $IscsiPortal | Out-Null
        }
    }
    elseif (-not $WhatIfPreference) {
        Update-IscsiTargetPortal -TargetPortalAddress $IscsiPortal | Out-Null
    }
}

function Test-Chap {
    $secretLength = if ($null -eq $ChapSecret) { 0 } else { $ChapSecret.Length }
    if ($ChapUser -and $secretLength -eq 0) {
        Stop-Script $ExitUsage "-ChapUser needs the secret: add -ChapSecret (Read-Host -AsSecureString 'CHAP secret')"
    }
    if (-not $ChapUser -and $secretLength -gt 0) {
        Stop-Script $ExitUsage '-ChapSecret needs the user: add -ChapUser NAME (the "incominguser" of tgt, the USER of lio)'
    }
}

# The secret is plain text nowhere but here.
function Connect-WithChap {
    param([string]$NodeAddress)

    $arguments = @{ NodeAddress = $NodeAddress }
    if ($ChapUser) {
        $arguments.AuthenticationType = 'ONEWAYCHAP'
        $arguments.ChapUsername = $ChapUser
        $arguments.ChapSecret = (New-Object System.Management.Automation.PSCredential $ChapUser, $ChapSecret).GetNetworkCredential().Password
    }
    try {
        Connect-IscsiTarget @arguments | Out-Null
    }
    catch {
        # Not the error itself: that knows what the command was called with.
        $reason = $_.Exception.Message
        if ($ChapUser) {
            $reason = $reason.Replace($arguments.ChapSecret, '(the secret)')
            $hint = 'are -ChapUser and -ChapSecret those of the target (12 to 16 characters)?'
        }
        else {
            $hint = 'if the target asks for a password, add -ChapUser and -ChapSecret'
        }
        Stop-Script $ExitFailed "cannot connect ${NodeAddress}: $reason; $hint"
    }
}

function Connect-Target {
    $targets = @(Get-IscsiTarget -ErrorAction SilentlyContinue)
    if ($IscsiTarget) {
        $targets = @($targets | Where-Object { $_.NodeAddress -eq $IscsiTarget })
    }
    if ($targets.Count -ne 1) {
        Stop-Script $ExitUsage ("{0} iSCSI targets fit; name one with -IscsiTarget: {1}" -f $targets.Count,
            (($targets | ForEach-Object { $_.NodeAddress }) -join ', '))
    }
    $target = $targets[0]
    if (-not $target.IsConnected -and $PSCmdlet.ShouldProcess($target.NodeAddress, 'connect the iSCSI target')) {
        Connect-WithChap $target.NodeAddress
    }
    return $target.NodeAddress
}

function Wait-IscsiDisk {
    param([string]$NodeAddress)

    $deadline = (Get-Date).AddSeconds(30)
    do {
        $session = Get-IscsiSession | Where-Object { $_.TargetNodeAddress -eq $NodeAddress } | Select-Object -First 1
        if ($null -ne $session) {
            $disk = $session | Get-Disk -ErrorAction SilentlyContinue | Select-Object -First 1
            if ($null -ne $disk) {
                return $disk
            }
        }
        Start-Sleep -Milliseconds 500
    } while ((Get-Date) -lt $deadline)
    Stop-Script $ExitFailed "no disk came from $NodeAddress within 30 s"
}

function Enable-IscsiDisk {
    param($Disk)

    if ($Disk.PartitionStyle -eq 'RAW') {
        Stop-Script $ExitUnsafe "disk $($Disk.Number) has no partition table. Do NOT initialize it: it may be the bare partition. vhdxfs serves the disk to connect as disk.img"
    }
    if ($Disk.IsOffline -and $PSCmdlet.ShouldProcess("disk $($Disk.Number)", 'bring it online')) {
        Set-Disk -Number $Disk.Number -IsOffline $false
    }
    if ($Disk.IsReadOnly -and $PSCmdlet.ShouldProcess("disk $($Disk.Number)", 'make it writable')) {
        Set-Disk -Number $Disk.Number -IsReadOnly $false
    }
}

function Find-FileOnDisk {
    param($Disk)

    foreach ($partition in @(Get-Partition -DiskNumber $Disk.Number)) {
        if ($partition.Type -ne 'Basic') {
            continue
        }
        if (-not $partition.DriveLetter -or [int]$partition.DriveLetter -eq 0) {
            if (-not $PSCmdlet.ShouldProcess("partition $($partition.PartitionNumber) of disk $($Disk.Number)", 'give it a drive letter')) {
                continue
            }
            $partition | Add-PartitionAccessPath -AssignDriveLetter
            $partition = Get-Partition -DiskNumber $Disk.Number -PartitionNumber $partition.PartitionNumber
        }
        $candidate = '{0}:\{1}' -f $partition.DriveLetter, $FileName
        if (Test-Path -LiteralPath $candidate -PathType Leaf) {
            return $candidate
        }
    }
    return $null
}

# The path of the VHDX on the target's disk; null with -WhatIf while it is not connected.
function Resolve-IscsiFile {
    Test-Chap
    if (-not (Test-Elevated)) {
        Stop-Script $ExitUsage 'iSCSI needs an elevated PowerShell ("Run as administrator")'
    }
    Connect-Portal
    if ($WhatIfPreference -and @(Get-IscsiTarget -ErrorAction SilentlyContinue | Where-Object { $_.IsConnected }).Count -eq 0) {
        Add-Step 'find the VHDX on the iSCSI disk' 'what-if' 'the target is not connected'
        return $null
    }
    $disk = Wait-IscsiDisk (Connect-Target)
    Enable-IscsiDisk $disk
    $file = Find-FileOnDisk $disk
    if ($null -eq $file) {
        Stop-Script $ExitFailed "no $FileName on the volumes of disk $($disk.Number)"
    }
    Add-Step 'find the VHDX on the iSCSI disk' 'ok' ([ordered]@{
            disk = $disk.Number; name = $disk.FriendlyName; size = $disk.Size; style = [string]$disk.PartitionStyle; path = $file
        })
    return $file
}

# --- the file ------------------------------------------------------------------------------------------------------------

function Read-Signature {
    param([string]$File)

    $stream = New-Object System.IO.FileStream($File, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]::ReadWrite)
    try {
        $bytes = New-Object byte[] 8
        $count = $stream.Read($bytes, 0, 8)
        return [Text.Encoding]::ASCII.GetString($bytes, 0, $count)
    }
    finally {
        $stream.Dispose()
    }
}

function Get-Place {
    param([string]$File)

    if ($File.StartsWith('\\')) {
        $server = $File.Split('\')[2]
        return [ordered]@{
            kind       = 'share'
            connection = Get-Fact {
                Get-SmbConnection -ServerName $server |
                    Select-Object -First 1 -Property @('Dialect', 'Encrypted', 'Signed', 'ContinuouslyAvailable')
            }
        }
    }
    $drive = New-Object System.IO.DriveInfo ([IO.Path]::GetPathRoot($File))
    return [ordered]@{
        kind    = [string]$drive.DriveType
        format  = Get-Fact { $drive.DriveFormat }
        network = Get-FinalPath $File
    }
}

function Get-VhdFacts {
    param([string]$File)

    if ($null -eq (Get-Command -Name Get-VHD -ErrorAction SilentlyContinue)) {
        return 'Get-VHD is not there (the Hyper-V module for PowerShell)'
    }
    return Get-Fact {
        $vhd = Get-VHD -Path $File
        [ordered]@{
            format         = [string]$vhd.VhdFormat
            type           = [string]$vhd.VhdType
            fileSize       = $vhd.FileSize
            size           = $vhd.Size
            blockSize      = $vhd.BlockSize
            logicalSector  = $vhd.LogicalSectorSize
            physicalSector = $vhd.PhysicalSectorSize
            attached       = $vhd.Attached
        }
    }
}

# What WSL and Windows' virtual disks ask of the file.
function Test-Vhdx {
    param([string]$File)

    if (-not (Test-Path -LiteralPath $File -PathType Leaf)) {
        Stop-Script $ExitUsage "$File is not there, or is no file"
    }
    if ([IO.Path]::GetExtension($File) -ne '.vhdx') {
        Stop-Script $ExitInvalid "$File is not called .vhdx, and WSL wants that"
    }
    $item = Get-Item -LiteralPath $File -Force
    $attributes = [int]$item.Attributes
    $facts = $script:Report.file
    $facts.path = $File
    $facts.size = $item.Length
    $facts.attributes = [string]$item.Attributes
    $facts.place = Get-Fact { Get-Place $File }
    $facts.acl = Get-Fact { (Get-Acl -LiteralPath $File).Sddl }
    $facts.signature = Get-Fact { Read-Signature $File }
    $facts.vhd = Get-VhdFacts $File
    foreach ($bad in @(@(0x200, 'sparse'), @(0x800, 'compressed'), @(0x4000, 'encrypted'), @(0x1, 'read-only'))) {
        if ($attributes -band $bad[0]) {
            Stop-Script $ExitUnsafe "$File is $($bad[1]); Windows does not attach it so"
        }
    }
    if ($facts.signature -like 'unknown:*') {
        Stop-Script $ExitFailed "$File cannot be read ($($facts.signature)). Is the partition mounted in Linux?"
    }
    if ($facts.signature -cne 'vhdxfile') {
        Stop-Script $ExitInvalid "$File does not begin as a VHDX does"
    }
    Add-Step 'check the VHDX' 'ok' $null
}

# --- WSL -----------------------------------------------------------------------------------------------------------------

function Get-Registration {
    $root = 'HKCU:\Software\Microsoft\Windows\CurrentVersion\Lxss'
    if (-not (Test-Path -Path $root)) {
        return
    }
    foreach ($key in @(Get-ChildItem -Path $root)) {
        $name = $key.GetValue('DistributionName')
        if ($name) {
            $base = ([string]$key.GetValue('BasePath')) -replace '^\\\\\?\\UNC\\', '\\' -replace '^\\\\\?\\', ''
            $file = $key.GetValue('VhdFileName')
            if (-not $file) {
                $file = 'ext4.vhdx'
            }
            New-Object psobject -Property @{ Name = [string]$name; Directory = $base.TrimEnd('\'); File = [string]$file }
        }
    }
}

# WSL keeps the path on the share, not that of a mapped drive.
function Get-FinalPath {
    param([string]$File)

    $root = [IO.Path]::GetPathRoot($File)
    if ($root -match '^[A-Za-z]:\\$') {
        $drive = Get-PSDrive -Name $root.Substring(0, 1) -PSProvider FileSystem -ErrorAction SilentlyContinue
        if ($null -ne $drive -and $drive.DisplayRoot -like '\\*') {
            return $drive.DisplayRoot.TrimEnd('\') + '\' + $File.Substring(3)
        }
    }
    return $File
}

# True when it has to be imported. A registration that is in the way is an error: nothing is unregistered here, for
# that deletes the VHDX.
function Test-Registration {
    param([string]$File)

    $directories = @($File, (Get-FinalPath $File) | ForEach-Object { [IO.Path]::GetDirectoryName($_).TrimEnd('\') })
    $leaf = [IO.Path]::GetFileName($File)
    foreach ($known in @(Get-Registration)) {
        $same = $directories -contains $known.Directory
        if ($known.Name -eq $DistroName) {
            if ($same -and $known.File -eq $leaf) {
                return $false
            }
            Stop-Script $ExitUnsafe "$DistroName is registered already, with $($known.Directory)\$($known.File); choose another -DistroName"
        }
        if ($same) {
            Stop-Script $ExitUnsafe "$($known.Name) is registered in $($known.Directory), and WSL allows one distribution in a directory"
        }
    }
    return $true
}

function Import-Distro {
    param([string]$Wsl, [string]$File)

    if (-not (Test-Registration $File)) {
        Add-Step 'import' 'skipped' "$DistroName is registered with this file"
        return
    }
    if (-not $PSCmdlet.ShouldProcess($File, "wsl --import-in-place $DistroName")) {
        Add-Step 'import' 'what-if' $null
        return
    }
    $run = Invoke-Program $Wsl ('--import-in-place {0} "{1}"' -f $DistroName, $File)
    $script:Report.file.aclAfterImport = Get-Fact { (Get-Acl -LiteralPath $File).Sddl }
    if ($run.code -ne 0) {
        Add-Step 'import' 'failed' $run $run.seconds
        Add-Step 'events' 'ok' (Get-DiskEvents)
        Stop-Script $ExitFailed "wsl --import-in-place ended with $($run.code): $($run.output)"
    }
    Add-Step 'import' 'ok' $run $run.seconds
}

# What the driver of virtual disks has logged in the last minutes.
function Get-DiskEvents {
    return Get-Fact {
        @(Get-WinEvent -FilterHashtable @{ LogName = 'Microsoft-Windows-VHDMP-Operational'; StartTime = (Get-Date).AddMinutes(-10) } -MaxEvents 20 |
                ForEach-Object { '{0:s} {1} {2}' -f $_.TimeCreated, $_.Id, $_.Message })
    }
}

function Start-Distro {
    param([string]$Wsl)

    if (-not $PSCmdlet.ShouldProcess($DistroName, 'start it once')) {
        Add-Step 'start' 'what-if' $null
        return
    }
    $command = 'echo started; uname -r; cat /proc/mounts; head -n 2 /etc/os-release; cat /sys/block/sd*/queue/write_cache'
    $run = Invoke-Program $Wsl ('--distribution {0} --user root --exec /bin/sh -c "{1}"' -f $DistroName, $command)
    if ($run.output -notmatch '(?m)^started') {
        Add-Step 'start' 'failed' $run $run.seconds
        Add-Step 'events' 'ok' (Get-DiskEvents)
        Stop-Script $ExitFailed "the distribution did not start: $($run.output)"
    }
    Add-Step 'start' 'ok' $run $run.seconds
}

function Write-Report {
    $json = ConvertTo-Json -InputObject $Report -Depth 6
    if ($WhatIfPreference) {
        Write-Host $json
        return
    }
    $target = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($ReportPath)
    [IO.File]::WriteAllText($target, $json, (New-Object System.Text.UTF8Encoding $false))
    Write-Host "report   $target"
}

function Invoke-All {
    if ($env:OS -ne 'Windows_NT') {
        Stop-Script $ExitUsage 'this script is for Windows'
    }
    $wsl = Find-Wsl
    $Report.system = Get-SystemFacts $wsl
    if ($PSCmdlet.ParameterSetName -eq 'Iscsi') {
        $file = Resolve-IscsiFile
        if ($null -eq $file) {
            return
        }
    }
    else {
        $file = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path)
    }
    Test-Vhdx $file
    if ($VerifyOnly) {
        return
    }
    Import-Distro $wsl $file
    Start-Distro $wsl
}

try {
    Invoke-All
    $Report.result = 'done'
    $Report.code = 0
}
catch {
    $Report.result = $_.Exception.Message
    if ($_.Exception.Data.Contains('ExitCode')) {
        $Report.code = [int]$_.Exception.Data['ExitCode']
    }
    else {
        $Report.where = $_.ScriptStackTrace
    }
    Write-Host ('error    ' + $Report.result)
}
try {
    Write-Report
}
catch {
    Write-Host ('error    the report cannot be written: ' + $_.Exception.Message)
    if ($Report.code -eq 0) {
        $Report.code = $ExitFailed
    }
}
exit $Report.code

#!/bin/sh
# What the scripts of an install share; the appliance puts it in front of each and sends both to `sh -s -- DISK…`
# on the live system. They run under any POSIX sh. What they find out they say as lines "@what<TAB>value…".
#
# BOOTSTRAPD_ROOT  prefix of every path (tests)
set -u
LC_ALL=C
export LC_ALL
ROOT=${BOOTSTRAPD_ROOT:-}
SYS=$ROOT/sys/class/block
# shellcheck disable=SC2034 # for the scripts behind this one
TAB=$(printf '\t')

fact() {
    what=$1
    shift
    printf '@%s' "$what"
    for value; do printf '\t%s' "$(printf '%s' "$value" | tr '\t\n\r' '   ')"; done
    printf '\n'
}

# The VARIANT_ID of the system that runs
variant() { sed -n 's/^VARIANT_ID=//p' "$ROOT/etc/os-release" | tr -d "\"'"; }

# FOLDER: the SSH host keys in it that have both halves
say_host_keys() {
    for key in "$1"/ssh_host_*_key; do
        if [ -s "$key" ] && [ -r "$key.pub" ]; then fact hostkey "$(awk 'NR == 1 { print $1, $2 }' "$key.pub")"; fi
    done
}

has() { command -v "$1" >/dev/null 2>&1; }

# PATH: the kernel's name of the disk that it leads to; nothing where there is none
name_of() {
    real=$(readlink -f "$ROOT$1" 2>/dev/null) || return 0
    [ ! -e "$SYS/${real##*/}/size" ] || printf '%s' "${real##*/}"
}

# NAME: its device node (sysfs writes the / of cciss/c0d0 as !)
node_of() { printf '%s/dev/%s' "$ROOT" "$(printf '%s' "$1" | tr '!' /)"; }

# NAME: its partitions
partitions() {
    [ -n "$1" ] || return 0 # else its pattern names every partition of the machine
    for part in "$SYS/$1/$1"*; do
        if [ -e "$part/partition" ]; then printf '%s\n' "${part##*/}"; fi
    done
}

# NAME: all that stands on it (partitions, md, device mapper), topmost first, itself last; some come twice.
# In a subshell: sh has no local variables.
stack() (
    [ -n "$1" ] || return 0
    for part in $(partitions "$1"); do stack "$part"; done
    for holder in "$SYS/$1/holders/"*; do
        if [ -e "$holder" ]; then stack "${holder##*/}"; fi
    done
    printf '%s\n' "$1"
)

# Lines "device<TAB>mount point<TAB>type" of what is mounted, the newest first
mounts() {
    while read -r source target type _; do
        printf '%s\t%b\t%s\n' "$source" "$target" "$type"
    done <"$ROOT/proc/mounts" | sed '1!G;h;$!d'
}

# SOURCE: the kernel's name of a mounted device; nothing for what is none (tmpfs, a ZFS dataset)
device_of() {
    case $1 in
    /dev/*) name_of "$1" ;;
    esac
}

#!/bin/sh
# What this live system is, and what the named disks are: so that a disk is erased only if it is still the one that
# was chosen. Changes nothing.
# shellcheck disable=SC2154 # common.sh stands in front of this

# NAME: its serial number, read where the agent reads it
serial_of() {
    for file in "$SYS/$1/serial" "$SYS/$1/device/serial"; do
        if [ -s "$file" ]; then head -n 1 "$file" && return; fi
    done
    page=$SYS/$1/device/vpd_pg80 # SPC-4, 7.8.15: four bytes of header come first
    if [ -r "$page" ]; then tail -c +5 "$page" | tr -d '\000'; fi
}

fact variant "$(variant)"
for disk; do
    name=$(name_of "$disk")
    if [ -z "$name" ]; then
        fact disk "$disk" absent
    elif [ -e "$SYS/$name/partition" ]; then
        fact disk "$disk" partition
    else
        fact disk "$disk" whole "$(($(cat "$SYS/$name/size") * 512))" "$(serial_of "$name")" "$name"
    fi
done

#!/bin/sh
# Takes the named disks, and no others, out of what an older system made of them: unmounts, stops md arrays and
# device mapper, exports ZFS pools, and wipes every signature, children first. disko does not see inactive arrays and
# fails half-way on what is left (NIXOS.md 2); NixOS installers assemble old arrays at boot.
#
# An array, volume group or pool with members on other disks is stopped; those members keep what they hold.
# Nothing is changed before every disk is known to be whole, there, and not under the running system.
# shellcheck disable=SC2154 # common.sh stands in front of this

EDGE=2048 # sectors at each end: GPT and its copy, LVM, all four ZFS labels, md superblocks of every version

die() {
    echo "preclean: $*"
    exit 1
}

# NAME: where it, and what stands on it, is mounted, the newest first
mounted_at() {
    ours=" $(stack "$1" | tr '\n' ' ')"
    mounts | while IFS=$TAB read -r source target _; do
        device=$(device_of "$source")
        case $ours in
        *" ${device:-none} "*) printf '%s\n' "$target" ;;
        esac
    done
}

# NAME: refuses the disk that the live system itself runs from
refuse_if_running() {
    mounted_at "$1" | while read -r target; do
        case $target in
        / | /nix | /nix/store | /iso | /run/* | /boot)
            echo "preclean: $1 is in use by the running system at $target"
            exit 1
            ;;
        esac
    done
}

# PATH: ends what works in that folder, or has that device open. An install that was given up goes on: sshd does
# not end what it started. Udev only looks, and comes back by itself.
end_users() {
    proc=$ROOT/proc
    # shellcheck disable=SC2012 # numbers and fixed names
    ls -l "$proc"/[0-9]*/root "$proc"/[0-9]*/cwd "$proc"/[0-9]*/exe "$proc"/[0-9]*/fd/* 2>/dev/null |
        while read -r link; do
            case $link in
            *" -> $1" | *" -> $1/"*) link=${link#*" $proc/"} && echo "${link%%/*}" ;;
            esac
        done | sort -u | while read -r process; do
        case $(cat "$proc/$process/comm" 2>/dev/null) in
        *udev*) continue ;;
        esac
        echo "preclean: ending process $process, which uses $1"
        kill -9 "$process"
    done
}

# FOLDER: nothing is mounted there, or the reason is said
unmount() {
    echo "preclean: unmounting $1"
    for _ in 1 2 3; do
        umount -R "$1" 2>/dev/null && return
        umount "$1" && return
        end_users "$1"
        sleep 1
    done
}

# NAME: the ZFS pools that it is part of
pools_on() {
    node=$(node_of "$1")
    zpool list -H -o name 2>/dev/null | while read -r pool; do
        if zpool status -LP "$pool" 2>/dev/null |
            awk -v node="$node" '$1 == node { found = 1 } END { exit !found }'; then
            echo "$pool"
        fi
    done
}

# NAME: an md array or a device mapper device is gone
stop() {
    [ -e "$SYS/$1" ] || return 0
    case $1 in
    md*)
        echo "preclean: stopping array $1"
        # the kernel's own way where there is no mdadm (Documentation/admin-guide/md.rst, array_state)
        if has mdadm; then mdadm --stop "$(node_of "$1")"; else echo clear >"$SYS/$1/md/array_state"; fi
        ;;
    dm-*)
        mapped=$(cat "$SYS/$1/dm/name")
        echo "preclean: removing $mapped"
        dmsetup remove --retry "$mapped"
        ;;
    esac
}

release() {
    mounted_at "$1" | while read -r target; do unmount "$target"; done
    for each in $(stack "$1"); do end_users "$(node_of "$each")"; done # an old mkfs writes over what comes next
    for each in $(stack "$1"); do
        swapoff "$(node_of "$each")" 2>/dev/null
        if has zpool; then
            for pool in $(pools_on "$each"); do
                echo "preclean: exporting pool $pool"
                zpool export -f "$pool"
            done
        fi
    done
    for each in $(stack "$1"); do stop "$each"; done
}

zero_edges() {
    node=$(node_of "$1")
    sectors=$(cat "$SYS/$1/size")
    count=$EDGE
    [ "$sectors" -ge "$count" ] || count=$sectors
    dd if=/dev/zero of="$node" bs=512 count="$count" conv=notrunc,fsync 2>/dev/null &&
        dd if=/dev/zero of="$node" bs=512 count="$count" seek="$((sectors - count))" conv=notrunc,fsync 2>/dev/null
}

wipe() {
    node=$(node_of "$1")
    if has mdadm; then mdadm --zero-superblock --force "$node" 2>/dev/null; fi
    if has zpool; then zpool labelclear -f "$node" 2>/dev/null; fi
    if has wipefs; then wipefs --all --force "$node"; fi
    zero_edges "$1" || die "cannot write to $node"
}

# NAME: the kernel forgets the partitions. Udev may still be looking at the disk: it gets a few tries.
forget_partitions() {
    for _ in 1 2 3 4 5; do
        blockdev --rereadpt "$(node_of "$1")" && return
        if has udevadm; then udevadm settle --timeout 10; fi
        sleep 1
    done
    die "$1 is still in use: its old partitions cannot be forgotten"
}

[ $# -gt 0 ] || die "no disk was named"
for disk; do
    name=$(name_of "$disk")
    [ -n "$name" ] || die "$disk is absent"
    [ ! -e "$SYS/$name/partition" ] || die "$disk is a partition, not a disk"
    refuse_if_running "$name" || exit 1
done
for disk; do release "$(name_of "$disk")"; done
for disk; do
    name=$(name_of "$disk")
    [ -n "$name" ] || die "$disk has gone"
    left=$(stack "$name" | grep -v "^$name" | tr '\n' ' ')
    [ -z "$left" ] || die "$disk is still in use by $left"
    left=$(mounted_at "$name" | tr '\n' ' ')
    [ -z "$left" ] || die "$disk is still mounted at $left"
    has zpool || continue
    left=$(for each in $(stack "$name"); do pools_on "$each"; done | tr '\n' ' ')
    [ -z "$left" ] || die "$disk is still in use by the pool $left"
done
for disk; do
    name=$(name_of "$disk")
    echo "preclean: wiping $disk ($name)"
    for part in $(partitions "$name"); do wipe "$part"; done
    wipe "$name"
    forget_partitions "$name"
done
if has udevadm; then udevadm settle --timeout 30; fi
fact precleaned "$#"

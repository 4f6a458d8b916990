#!/bin/sh
# What stands under /mnt: mounts, system profile, boot loader, the report's files. Says facts, judges nothing,
# changes nothing. The named disks are the chosen ones.
# shellcheck disable=SC2154 # common.sh stands in front of this

ours=" $(for disk; do stack "$(name_of "$disk")"; done | tr '\n' ' ')"

# NAME: whether this device stands on chosen disks and on no other. An array or a volume that has one foot on a chosen
# disk is in `ours`: what else is below it decides (of a partition, what is below the whole of it).
place() (
    [ -n "$1" ] || { echo unknown && return; }
    case $ours in
    *" $1 "*) ;;
    *) echo elsewhere && return ;;
    esac
    for below in "$SYS/$1/slaves/"* "$SYS/$1/../slaves/"*; do
        if [ -e "$below" ] && [ "$(place "${below##*/}")" != chosen ]; then echo elsewhere && return; fi
    done
    echo chosen
)

# NAME…: the same of all of them together; of none it is not known
places() {
    found=unknown
    for each; do
        case $(place "$each") in
        chosen) [ "$found" = elsewhere ] || found=chosen ;;
        *) found=elsewhere ;;
        esac
    done
    echo "$found"
}

# POOL: the names of a ZFS pool's devices
of_pool() {
    zpool status -LP "$1" 2>/dev/null | awk '$1 ~ "^/" { sub(".*/", "", $1); print $1 }'
}

# NAME: the names of all devices of the btrfs that it is part of; what is mounted names one of them
of_btrfs() {
    for devices in "$ROOT"/sys/fs/btrfs/*/devices; do
        if [ -e "$devices/$1" ]; then ls "$devices"; fi
    done
}

# SOURCE: the names of the devices of a bcachefs, "/dev/a:/dev/b"; one that is not there is "-"
of_bcachefs() {
    printf '%s\n' "$1" | tr : '\n' | while read -r node; do
        name=$(device_of "$node")
        echo "${name:--}"
    done
}

# SOURCE TYPE: whether what is mounted from there stands on chosen disks
# shellcheck disable=SC2046 # one word a device
place_of() {
    name=$(device_of "$1")
    case $2 in
    zfs) places $(of_pool "${1%%/*}") ;;
    btrfs) places ${name:+"$name"} $(of_btrfs "${name:--}") ;;
    bcachefs) places $(of_bcachefs "$1") ;;
    *) place "$name" ;;
    esac
}

# SOURCE: the volume label of its file system. By blkid's `LABEL="…"`: busybox's blkid knows no options
label_of() {
    blkid "$ROOT$1" 2>/dev/null | tr ' ' '\n' | sed -n 's/^LABEL="\(.*\)"$/\1/p'
}

say_loaders() {
    find "$ROOT$1" -type f -size +0 2>/dev/null | while read -r file; do
        inside=${file#"$ROOT$1/"}
        case $inside in
        [Ee][Ff][Ii]/*.[Ee][Ff][Ii]) fact loader "$1" "$inside" ;;
        esac
    done
}

mounts | while IFS=$TAB read -r source target type; do
    case $target in
    /mnt | /mnt/*) ;;
    *) continue ;;
    esac
    fact mount "$target" "$source" "$type" "$(place_of "$source" "$type")"
    if [ "$type" = vfat ]; then
        fact esp "$target" "$(label_of "$source")"
        say_loaders "$target"
    fi
done

profiles=$ROOT/mnt/nix/var/nix/profiles
system=$(readlink "$profiles/system")
case $system in
system-*-link) system=$(readlink "$profiles/$system") ;;
esac
if [ -n "$system" ] && [ -e "$ROOT/mnt$system" ]; then
    fact profile "$system" there
else
    fact profile "$system" missing
fi

# The boot code is the first 440 bytes of the MBR (UEFI 2.10, table 5.1)
for disk; do
    code=$(dd if="$ROOT$disk" bs=440 count=1 2>/dev/null | tr -d '\000' | wc -c)
    fact mbr "$disk" "$((code))"
done

for file in server token; do
    # shellcheck disable=SC2012 # not every busybox has stat
    fact report "$file" "$(ls -ln "$ROOT/mnt/var/lib/bootstrapd-report/$file" 2>/dev/null | awk '{ print $1, $3 }')"
done
say_host_keys "$ROOT/mnt/etc/ssh"

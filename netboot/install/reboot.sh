#!/bin/sh
# Leaves the disk clean and reboots, after this connection had the time to end in peace.
# shellcheck disable=SC2154 # common.sh stands in front of this

if [ "$(variant)" != installer ]; then
    fact rebooting already # it is the new system that answers: told twice, it is left alone
    exit 0
fi
sync
swapoff -a 2>/dev/null
umount -R "$ROOT/mnt" 2>/dev/null
if has zpool; then zpool export -a; fi # a pool that is not exported needs force at the first boot
if has setsid; then apart='setsid'; else apart='nohup'; fi
$apart sh -c 'sleep 2; systemctl reboot || reboot || reboot -f' </dev/null >/dev/null 2>&1 &
fact rebooting

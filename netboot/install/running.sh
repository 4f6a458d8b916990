#!/bin/sh
# Which system runs on the machine now: asked after the reboot, where the new system does not report by itself.
# Changes nothing.
# shellcheck disable=SC2154 # common.sh stands in front of this

fact variant "$(variant)"
say_host_keys "$ROOT/etc/ssh"
fact running "$(readlink -f "$ROOT/run/current-system")" "$(cat "$ROOT/proc/sys/kernel/random/boot_id" 2>/dev/null)"

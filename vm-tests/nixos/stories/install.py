serve()

with subtest("the appliance, without a network, comes to the system that was built outside"):
    builds_offline()

with subtest("nothing is erased without an arm"):
    blank.start(allow_reboot=True)
    seen = comes_to(HOST, "live", timeout_s=900)
    assert not seen["run"], seen

with subtest("the machine is installed, reboots and reports"):
    appliance.succeed(f"bootstrapd hosts arm {HOST} --yes")
    seen = comes_to(HOST, "ready", timeout_s=3600)
    assert seen["closure"] == CLOSURE, seen
    assert seen["arm"] is None, "an install that succeeded uses up its arm"

with subtest("its own system runs, from the disks that were chosen"):
    runs_its_own_system()
    for disk in seen["disks"]:
        blank.succeed(f"lsblk --noheadings --output TYPE {disk['path']} | grep -q part")

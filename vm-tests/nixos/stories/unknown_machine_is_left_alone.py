serve()
bios.start(allow_reboot=True)
uefi.start(allow_reboot=True)

for mac, machine in (("52:54:00:0f:00:01", bios), ("52:54:00:0f:00:02", uefi)):
    with subtest(f"{mac} asks, and runs its own system"):
        appliance.wait_until_succeeds(f"bootstrapd machines show {mac} --json", timeout=600)
        machine.wait_for_unit("multi-user.target")
        machine.succeed("test -e /dev/disk/by-id/virtio-root")  # the disk that it came with
        seen = asked(f"machines show {mac}")
        assert (seen["state"], seen["host"]) == ("seen", ""), seen
        assert "bootstrapd hosts add" in seen["why"], seen["why"]
        assert {stage["name"] for stage in seen["stages"]} <= {"asked", "refused"}, seen["stages"]

serve()
bios.start(allow_reboot=True)
uefi.start(allow_reboot=True)

for name, machine, kind in (("live-bios", bios, "bios"), ("live-uefi", uefi, "uefi")):
    with subtest(f"{name} boots by {kind} and registers"):
        seen = comes_to(name, "live", timeout_s=900)
        machine.wait_for_console_text(f"bootstrapd: registered with http\\S+ as {name}")
        hardware = asked(f"machines show {seen['machine']}")["hardware"]
        assert hardware["firmware"] == kind, hardware
        assert [disk["serial"] for disk in hardware["disks"]] == [f"{name}-main"], hardware["disks"]

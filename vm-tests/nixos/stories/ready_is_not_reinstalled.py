serve()
appliance.succeed(f"bootstrapd hosts arm {HOST} --yes")
blank.start(allow_reboot=True)
installed = comes_to(HOST, "ready", timeout_s=4500)
runs_its_own_system()
blank.succeed("echo kept > /root/kept && sync")
system = blank.succeed("cat /etc/machine-id")

with subtest("power fails, and the machine asks the network first again"):
    blank.crash()
    blank.start(allow_reboot=True)
    holds(HOST, f'.boots[-1].id != "{installed["boots"][-1]["id"]}"', timeout_s=600)
    holds(HOST, '.boots[-1].stages | any(.name == "local-disk")', timeout_s=600)

with subtest("it runs what it ran, and nobody has touched it"):
    runs_its_own_system()
    assert blank.succeed("cat /root/kept") == "kept\n"
    assert blank.succeed("cat /etc/machine-id") == system
    seen = shown(HOST)
    assert (seen["state"], seen["run"]) == ("ready", installed["run"]), seen
    assert not {stage["name"] for stage in seen["boots"][-1]["stages"]} & {"image", "registered"}, seen

serve()
appliance.succeed(f"bootstrapd hosts arm {HOST} --yes")

with subtest("power fails in the middle of the boot"):
    blank.start(allow_reboot=True)
    comes_to(HOST, "netbooting", timeout_s=600)
    appliance.crash()
    serve()
    assert shown(HOST)["arm"] is not None, "the arm is as durable as the journal"

with subtest("power fails in the middle of the install"):
    holds(HOST, '.state == "installing" and .phase == "install"', timeout_s=1800)
    before = shown(HOST)
    appliance.crash()
    serve()
    assert shown(HOST)["arm"]["id"] == before["arm"]["id"], "a retry is within the same arm"

with subtest("it is tried again, and the machine is ready"):
    seen = comes_to(HOST, "ready", timeout_s=3600, through=("failed",))
    assert seen["closure"] == CLOSURE, seen
    assert seen["arm"] is None, "an install that succeeded uses up its arm"
    runs_its_own_system()

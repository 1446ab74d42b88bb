"""Cases 7, 8 and 9: a migration that cannot end, one whose agent is killed, and a change of tuning."""

from __future__ import annotations

from kvmha.lab.census import Census
from tests.bench.case import ALIVE, MIGRATE, NOT_RUNNING, Case, Finding, Trial, Unfit
from tests.bench.stage import Guest

HOG = ("dirty", "40", "64")
"""MiB/s, and MiB that are overwritten again and again."""
SPEED_MIB = "8"
"""Far below what the guest dirties, so that the migration cannot end by itself."""
KILLED_AFTER = 4.0
SETTLED = 4.0
"""Seconds after which libvirt has noticed that whoever asked for a migration has gone."""


def _hog(trial: Trial) -> tuple[Guest, str]:
    """Have a guest that dirties its memory faster than it can be moved; return it and its boot id."""
    guest = trial.booting_guest(f"hog-{trial.side.provider}")
    trial.start(guest)
    boot = trial.stage.wait_booted(guest)
    if not trial.stage.wait(lambda: "dirty=40/64" in trial.stage.ask(guest, *HOG), 20.0):
        raise Unfit("the guest did not begin to dirty its memory")
    return guest, boot


def _move(trial: Trial, guest: Guest, timeout: float, killed_after: float = 0) -> int:
    meta = {"migrate_source": trial.node, "migrate_target": trial.peer}
    return trial.call(
        "migrate_to", guest, timeout, killed_after=killed_after, meta=meta, migration_speed=SPEED_MIB
    ).rc  # fmt: skip


def memory_hog(trial: Trial) -> Finding:
    guest, boot = _hog(trial)
    code = _move(trial, guest, MIGRATE)
    in_time = not trial.steps[-1].is_killed
    trial.stage.host.sleep(SETTLED)
    lives = trial.stage.wait(lambda: trial.stage.boot_id(guest), SETTLED) == boot
    places = trial.places(guest)
    words = f"{SETTLED:.0f} s later it {'answers, the same boot' if lives else 'does not answer'}"
    where = trial.peer if code == 0 else trial.node
    return trial.finding(in_time and lives and places == [where], f"{words}, on {' and '.join(places) or 'no node'}")


def agent_killed(trial: Trial) -> Finding:
    stage = trial.stage
    guest, _ = _hog(trial)
    with Census(stage.host, {node.name: f"/run/netns/{node.netns}" for node in stage.lab.plan.nodes}) as census:
        _move(trial, guest, 120.0, killed_after=KILLED_AFTER)
        probes = []
        for node in (trial.node, trial.peer):
            had = trial.stage.pids(guest, node)
            code = trial.probe(guest, on=node, name=f"probe on {node}").rc
            probes.append(code != NOT_RUNNING if had and trial.stage.pids(guest, node) else code not in ALIVE or had)
        # In the order in which Pacemaker does it after a failed migrate_to.
        stops = [trial.stop(guest, on=node, name=f"stop on {node}").rc for node in (trial.peer, trial.node)]
        left = trial.places(guest)
        again = trial.call("start", guest, MIGRATE, on=trial.peer, name=f"start on {trial.peer}").rc
        is_there_once = again == 0 and trial.places(guest) == [trial.peer]
        stage.host.sleep(SETTLED)
    twice = [found for found in census.twice if found.copies[0].uuid == guest.uuid]
    story = "EXECUTED TWICE" if twice else "never executed twice"
    is_right = all(probes) and stops == [0, 0] and not left and is_there_once and not twice
    return trial.finding(is_right, story)


TUNED = """\
<primitive id="{name}" class="ocf" provider="{provider}" type="VirtualDomain">
  <instance_attributes id="{name}-params">
    <nvpair id="{name}-config" name="config" value="{config}"/>
    <nvpair id="{name}-downtime" name="migration_downtime" value="100"/>
    <nvpair id="{name}-force" name="force_stop" value="true"/>
  </instance_attributes>
  <operations><op id="{name}-monitor" name="monitor" interval="10s" timeout="30s"/></operations>
</primitive>
"""


def tuning_changed(trial: Trial) -> Finding:
    stage, node = trial.stage, trial.node
    name = f"tuned-{trial.side.provider}"
    guest = trial.guest(name)
    stage.maintenance(False)
    trial.undo.callback(stage.maintenance, True)
    xml = TUNED.format(name=name, provider=trial.side.provider, config=guest.config)
    stage.run(node, "cibadmin", "--create", "--scope", "resources", "--xml-text", xml)
    trial.undo.callback(_delete, trial, name)
    stage.settle()
    before = {at: stage.pids(guest, at) for at in trial.nodes}
    if len(trial.places(guest)) != 1:
        raise Unfit(f"the cluster did not start it: it runs on {trial.places(guest) or 'no node'}")
    change = ("--set-parameter", "migration_downtime", "--parameter-value", "500")
    stage.run(node, "crm_resource", "--resource", name, *change)
    stage.settle()
    after = {at: stage.pids(guest, at) for at in trial.nodes}
    story = "the same QEMU process runs on" if before == after else "RESTARTED: another QEMU process runs now"
    return trial.finding(before == after, "migration_downtime from 100 to 500 in the cluster's configuration", story)


def _delete(trial: Trial, name: str) -> None:
    stop = ("--meta", "--set-parameter", "target-role", "--parameter-value", "Stopped")
    trial.stage.run(trial.node, "crm_resource", "--resource", name, *stop)
    trial.stage.settle()
    trial.stage.run(trial.node, "cibadmin", "--delete", "--xml-text", f'<primitive id="{name}"/>')


CASES = (
    Case(
        number=7, name=f"migrate_to of a guest that dirties {HOG[1]} MiB/s, over {SPEED_MIB} MiB/s",
        wanted="it moves, or stays for an error, before the deadline, and answers with the same boot",
        attempt=memory_hog, is_alone=True,
    ),
    Case(
        number=8, name=f"the agent is killed {KILLED_AFTER:.0f} s into a migration",
        wanted="probes and stops on both nodes are true, and at most one guest ever runs",
        attempt=agent_killed, is_alone=True,
    ),
    Case(
        number=9, name="migration_downtime is changed while the guest runs",
        wanted="the guest is not restarted", attempt=tuning_changed, is_alone=True,
    ),
)  # fmt: skip

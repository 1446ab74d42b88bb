"""Cases 6, 15 and 16: what a guest keeps, what an agent says of itself, and what its monitor consists of."""

from __future__ import annotations

from tests.bench.calls import OURS
from tests.bench.case import Case, Finding, Trial

UEFI = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    <memballoon model='none'/>
  </devices>
</domain>
"""

# A second name for the very file of the variables, and a file beside the state of the TPM: both go if what they mark is
# thrown away, and stay if it is kept.
MARK = """\
set -e
ln -f "/var/lib/libvirt/qemu/nvram/$1_VARS.fd" "/var/lib/libvirt/qemu/nvram/$1.mark"
touch "/var/lib/libvirt/swtpm/$2/mark"
"""
KEPT = """\
[ "/var/lib/libvirt/qemu/nvram/$1_VARS.fd" -ef "/var/lib/libvirt/qemu/nvram/$1.mark" ] || echo "its UEFI variables"
[ -e "/var/lib/libvirt/swtpm/$2/mark" ] || echo "the state of its TPM"
virsh dominfo "$1" | grep -q "^Persistent: *yes" || echo "its definition in libvirt"
"""


def uefi_and_tpm(trial: Trial) -> Finding:
    stage, node = trial.stage, trial.node
    guest = trial.guest(f"uefi-{trial.side.provider}", UEFI)
    stage.run(node, "virsh", "define", guest.config)
    # The shell agent has one way to name a guest; ours has another one for those that libvirt keeps.
    named = {"config": "", "domain": guest.name} if trial.side == OURS else {}
    trial.call("start", guest, 30, **named)
    if not trial.places(guest):
        return trial.finding(False)
    stage.run(node, "sh", "-c", MARK, "bench", guest.name, guest.uuid)
    trial.undo.callback(stage.run, node, "rm", "-f", f"/var/lib/libvirt/qemu/nvram/{guest.name}.mark")
    trial.stop(guest, **named)
    stopped = trial.steps[-1].rc == 0 and not trial.places(guest)
    lost = stage.run(node, "sh", "-c", KEPT, "bench", guest.name, guest.uuid, ok=None).out.splitlines()
    again = trial.call("start", guest, 30, name="start again", **named).rc == 0 and bool(trial.places(guest))
    lost += stage.run(node, "sh", "-c", KEPT, "bench", guest.name, guest.uuid, ok=None).out.splitlines()
    lost = sorted(set(lost))
    story = f"LOST {', '.join(lost)}" if lost else "its UEFI variables, its TPM's state and its definition are kept"
    return trial.finding(stopped and again and not lost, story)


# Run in the node with the agent's file, as nobody. Prints what is wrong; nothing if all is well.
BARE = """\
said=$(env - setpriv --reuid=65534 --regid=65534 --clear-groups "$1" meta-data 2>&1 > /dev/null)
code=$?
[ $code = 0 ] || echo "exit $code"
[ -z "$said" ] || echo "stderr: $said" | head -n 1
"""
VALID = """\
said=$(mktemp)
env - PATH=/bin:/usr/bin OCF_ROOT=/usr/lib/ocf setpriv --reuid=65534 --regid=65534 --clear-groups \\
    "$1" meta-data > "$said"
code=$?
[ $code = 0 ] || echo "exit $code"
version=$(sed -n 's:.*<version>\\([0-9.]*\\)</version>.*:\\1:p' "$said" | head -n 1)
for schema in /usr/share/pcs/data/ocf-$version.rng /usr/share/pacemaker/api/ocf-ra-$version.rng; do
    [ -e "$schema" ] || continue
    xmllint --nonet --noout --relaxng "$schema" "$said" 2> /dev/null || echo "invalid for $schema"
done
cd /usr/share/resource-agents
xmllint --nonet --noout --valid - < "$said" 2> /dev/null || echo "invalid for the DTD of ocf-tester"
rm "$said"
"""


def bare_metadata(trial: Trial) -> Finding:
    return _said_nothing(trial, BARE, "0, and nothing but the document")


def valid_metadata(trial: Trial) -> Finding:
    return _said_nothing(trial, VALID, "0, valid for all of them")


def _said_nothing(trial: Trial, script: str, well: str) -> Finding:
    said = trial.stage.run(trial.node, "sh", "-c", script, "bench", trial.side.file, ok=None)
    wrong = [line for line in (said.out + said.err).splitlines() if line.strip()]
    return trial.finding(not wrong, f"meta-data: {'; '.join(wrong) or well}")


def one_process(trial: Trial) -> Finding:
    guest = trial.guest(f"count-{trial.side.provider}")
    trial.start(guest)
    ran = trial.stage.call(trial.side, "monitor", guest, trial.node, timeout=30, interval=10, how="counted")
    words = f"monitor {ran.rc}: {ran.processes} processes and {ran.threads} threads, {ran.programs} programs"
    return trial.finding(ran.rc == 0 and ran.processes == 1, words)


CASES = (
    Case(
        number=6, name="a guest with UEFI and a TPM that libvirt keeps (persistent): start, stop, start",
        wanted="it starts and stops; nothing that it keeps is lost", attempt=uefi_and_tpm,
    ),
    Case(
        number=15, name="meta-data as nobody, with an empty environment",
        wanted="0, and nothing on stderr", attempt=bare_metadata,
    ),
    Case(
        number=15, name="meta-data as nobody, with PATH=/bin:/usr/bin",
        wanted="0, valid for the schemas of pcs and Pacemaker and the DTD of ocf-tester", attempt=valid_metadata,
    ),
    Case(number=16, name="a monitor of a healthy guest", wanted="one process", attempt=one_process),
)  # fmt: skip

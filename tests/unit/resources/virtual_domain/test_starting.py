"""A start beside a libvirt that restarts, hangs or loses the answer, and a start that is killed or repeated."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing
from kvmha.ocf import codes
from kvmha.resources.virtual_domain import set_aside
from kvmha.tools import cib, qemu_process
from kvmha.tools.cib import moves
from tests.fakes import HANGS, LOST, REFUSES, UNREACHABLE, FakeHost, FakeLibvirt
from tests.unit.resources.virtual_domain.calls import CONFIG, REMEMBERED, Killed, call, definition, reason

AWAY = pytest.mark.parametrize("trouble", [UNREACHABLE, LOST])
BY = pytest.mark.parametrize("given", [{"config": CONFIG}, {"domain": "web1"}], ids=["config", "domain"])


@pytest.fixture(autouse=True)
def _defined(host, libvirt, config, request):
    """Have the guest in the form in which the resource names it."""
    given = request.node.callspec.params.get("given", {}) if hasattr(request.node, "callspec") else {}
    if "domain" in given:
        libvirt.define_guest()


def is_starting(host):
    return b"starting=1" in host.files.get(REMEMBERED, b"")


# --------------------------------------------------------- libvirt that is away


@BY
@AWAY
def test_a_libvirt_that_restarts_is_waited_for(host, libvirt, given, trouble):
    libvirt.trouble[""] = trouble
    host.after(12.0, libvirt.trouble.clear)
    assert call(host, "start", given) == codes.SUCCESS
    assert len(host.processes) == 1
    assert not is_starting(host)


@BY
@AWAY
@pytest.mark.parametrize("timeout", [20.0, 60.0, 90.0, 600.0])
def test_a_libvirt_that_stays_away_is_given_up_after_a_bounded_time(host, libvirt, given, trouble, timeout, capfd):
    libvirt.trouble[""] = trouble
    begun = host.clock
    assert call(host, "start", given, timeout=timeout) == codes.ERR_GENERIC
    assert min(20.0, timeout / 3) - 3 < host.clock - begun <= min(20.0, timeout / 3)
    assert "is not reachable" in reason(capfd)
    assert REMEMBERED not in host.files
    assert call(host, "stop", given) == codes.SUCCESS


@BY
def test_a_stuck_libvirt_is_given_up_with_a_reason_before_it_was_asked_to_start(host, libvirt, given, capfd):
    libvirt.trouble[""] = HANGS
    begun = host.clock
    assert call(host, "start", given) == codes.ERR_GENERIC
    assert host.clock - begun <= 35.0
    assert "did not answer within 10 s" in reason(capfd)
    assert REMEMBERED not in host.files
    assert call(host, "monitor", given) == codes.NOT_RUNNING


def test_a_binding_that_is_not_installed_is_no_passing_trouble(host, libvirt, monkeypatch):
    from kvmha.tools.libvirtd import LibvirtMissing

    def missing(self, guest, limit=0.0):
        raise LibvirtMissing("cannot be asked: No module named 'libvirt'")

    monkeypatch.setattr(FakeLibvirt, "domain", missing)
    assert call(host, "start") == codes.ERR_INSTALLED
    assert host.clock == 1000.0


# ------------------------------------------------------- answers that were lost


@BY
def test_a_question_that_was_lost_is_looked_after_and_asked_again(host, libvirt, given):
    begin = "start" if "domain" in given else "create"
    libvirt.trouble[begin] = LOST
    host.after(0.5, libvirt.trouble.clear)
    assert call(host, "start", given) == codes.SUCCESS
    assert libvirt.calls.count(begin) == 2
    assert len(host.processes) == 1


@BY
def test_a_guest_that_came_up_although_the_answer_was_lost_is_not_started_again(host, libvirt, monkeypatch, given):
    begin = "start" if "domain" in given else "create"
    libvirt.calls.clear()
    really = getattr(FakeLibvirt, begin)

    def lost(self, what):
        really(self, what)
        self.trouble["then"] = LOST
        self._enter("then")

    monkeypatch.setattr(FakeLibvirt, begin, lost)
    assert call(host, "start", given) == codes.SUCCESS
    assert libvirt.calls.count(begin) == 1
    assert len(host.processes) == 1
    assert not is_starting(host)


@pytest.mark.parametrize("trouble", [LOST, REFUSES])
def test_a_guest_that_is_coming_up_although_libvirt_answered_with_an_error_is_waited_for(
    host, libvirt, monkeypatch, trouble
):
    really = FakeLibvirt.create

    def slow(self, xml):
        really(self, xml)
        (guest,) = self.guests
        cmdline = host.processes.pop(guest.pid)
        host.after(4.0, lambda: host.processes.update({guest.pid: cmdline}))
        self.trouble["then"] = trouble
        self._enter("then")

    monkeypatch.setattr(FakeLibvirt, "create", slow)
    assert call(host, "start") == codes.SUCCESS
    assert libvirt.calls.count("create") == 1
    assert not is_starting(host)


def test_a_lost_question_keeps_the_doubt_while_libvirt_cannot_be_asked_after_it(host, libvirt, monkeypatch):
    def lost(self, xml):
        self.trouble[""] = UNREACHABLE
        self.trouble["create"] = LOST
        self._enter("create")

    monkeypatch.setattr(FakeLibvirt, "create", lost)
    assert call(host, "start") == codes.ERR_GENERIC
    assert is_starting(host)
    assert call(host, "monitor") == codes.ERR_GENERIC
    assert call(host, "stop") == codes.ERR_GENERIC
    libvirt.trouble.clear()
    assert call(host, "stop") == codes.SUCCESS
    assert REMEMBERED not in host.files


def test_a_refusal_is_no_doubt(host, libvirt, capfd):
    libvirt.trouble["create"] = REFUSES
    assert call(host, "start") == codes.ERR_GENERIC
    assert "state change lock" in reason(capfd)
    assert libvirt.calls.count("create") == 1
    assert REMEMBERED not in host.files


def test_a_refusal_does_not_clear_the_doubt_of_an_earlier_start(host, libvirt):
    libvirt.trouble["create"] = HANGS
    assert call(host, "start") == codes.ERR_GENERIC
    assert is_starting(host)
    libvirt.trouble["create"] = REFUSES
    assert call(host, "start") == codes.ERR_GENERIC
    assert is_starting(host)


# ------------------------------------------------------------- repeated starts


def test_a_guest_that_libvirt_is_about_to_start_is_waited_for_and_not_started_again(host, libvirt):
    guest = libvirt.run_guest()
    cmdline = host.processes.pop(guest.pid)
    host.after(5.0, lambda: host.processes.update({guest.pid: cmdline}))
    assert call(host, "start") == codes.SUCCESS
    assert "create" not in libvirt.calls


def test_a_guest_that_libvirt_calls_active_and_that_never_comes_is_a_failure(host, libvirt, capfd):
    libvirt.run_guest()
    host.processes.clear()
    assert call(host, "start") == codes.ERR_GENERIC
    assert "no process of it came up" in reason(capfd)


def test_start_returns_when_a_guest_that_is_starting_runs(host, libvirt):
    guest = libvirt.run_guest()
    libvirt.put_state(guest, "paused", "starting up")
    host.after(6.0, lambda: libvirt.put_state(guest, "running", "booted"))
    assert call(host, "start") == codes.SUCCESS
    assert host.clock >= 1006.0


@pytest.mark.parametrize(("why", "said"), [("starting up", "starting up"), ("migration", "paused by a migration")])
def test_a_guest_that_never_begins_to_run_is_a_failure(host, libvirt, why, said, capfd):
    libvirt.put_state(libvirt.run_guest(), "paused", why)
    assert call(host, "start") == codes.ERR_GENERIC
    assert f"is still {said}" in reason(capfd)


def test_a_copy_that_was_arriving_and_goes_again_is_not_a_start_that_succeeded(host, libvirt, capfd):
    guest = libvirt.run_guest()
    libvirt.put_state(guest, "paused", "migration")
    host.after(5.0, lambda: libvirt.end(guest))
    assert call(host, "start") == codes.ERR_GENERIC
    assert "ended while it was looked at" in reason(capfd)


def test_a_disk_in_a_pool_that_start_resources_starts_is_looked_for_afterwards(host, libvirt, monkeypatch):
    order = []
    monkeypatch.setattr("kvmha.resources.virtual_domain.provisions.start", lambda *_: order.append("pools"))
    monkeypatch.setattr("kvmha.resources.virtual_domain.before_start.check", lambda *_: order.append("disks"))
    assert call(host, "start", start_resources="true") == codes.SUCCESS
    assert order == ["pools", "disks"]


def test_a_start_that_finds_the_guest_clears_the_doubt(host, libvirt):
    libvirt.trouble["create"] = HANGS
    assert call(host, "start") == codes.ERR_GENERIC
    libvirt.trouble.clear()
    libvirt.run_guest()
    assert call(host, "start") == codes.SUCCESS
    assert not is_starting(host)


# --------------------------------------------------------------- killed starts


def _killed_at(number):
    """Return a world whose agent is killed in the given one of its dealings with libvirt, and that dealing or None."""
    host = FakeHost()
    libvirt = FakeLibvirt(host)
    host.files[CONFIG] = definition().encode()
    count = 0
    enter = FakeLibvirt._enter
    died = []

    def dealing(self, method, limit=10.0):
        nonlocal count
        count += 1
        if count == number:
            died.append(method)
            raise Killed
        enter(self, method, limit)

    return host, libvirt, dealing, died


@pytest.mark.parametrize("is_carried_out", [True, False], ids=["libvirt-goes-on", "libvirt-drops-it"])
@pytest.mark.parametrize("number", range(1, 9))
def test_after_a_killed_start_stop_and_probe_tell_the_truth(monkeypatch, number, is_carried_out):
    host, libvirt, dealing, died = _killed_at(number)
    monkeypatch.setattr("kvmha.tools.libvirtd.Libvirt", libvirt)
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: None)
    with monkeypatch.context() as patch:
        patch.setattr(FakeLibvirt, "_enter", dealing)
        try:
            call(host, "start")
        except Killed:
            pass
    if died == ["create"]:
        # Whether it is done later or not cannot be known without libvirt.
        libvirt.trouble[""] = HANGS
        assert call(host, "monitor") == codes.ERR_GENERIC
        assert call(host, "stop") == codes.ERR_GENERIC
        libvirt.trouble.clear()
        if is_carried_out:
            libvirt.run_guest()
    here = bool(host.processes)
    absent = codes.ERR_GENERIC if is_starting(host) else codes.NOT_RUNNING
    assert call(host, "monitor") == (codes.SUCCESS if here else absent)
    host.files.pop(CONFIG)
    if here:
        assert call(host, "stop") == codes.SUCCESS
    host.files[CONFIG] = definition().encode()
    assert call(host, "stop") == codes.SUCCESS
    assert not host.processes
    assert REMEMBERED not in host.files
    assert call(host, "start") == codes.SUCCESS
    assert len(host.processes) == 1
    assert not is_starting(host)


def test_the_killing_reaches_the_create(monkeypatch):
    reached = set()
    for number in range(1, 9):
        host, libvirt, dealing, died = _killed_at(number)
        monkeypatch.setattr("kvmha.tools.libvirtd.Libvirt", libvirt)
        monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: None)
        with monkeypatch.context() as patch:
            patch.setattr(FakeLibvirt, "_enter", dealing)
            try:
                call(host, "start")
            except Killed:
                reached.update(died)
    assert {"domain", "defined", "create"} <= reached


# ------------------------------------------------------ the copy-on-write image

BASE, IMAGE = "/images/base.img", "/etc/kvmha/guests/web1.qcow2"
INFO = ("qemu-img", "info", "-U", "--output=json", BASE)
MAKE = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", BASE, f"{IMAGE}.new")
FILL = ("virt-copy-in", "-a", f"{IMAGE}.new", "/srv/a", "/srv/b", "/")


@pytest.fixture
def image(host):
    """Have a base image and the programs that work on it."""
    host.files.update({BASE: b"raw", "/srv/a/x": b"", "/srv/b/x": b""})

    def make():
        host.files[f"{IMAGE}.new"] = b"empty"
        return ""

    def fill():
        host.files[f"{IMAGE}.new"] += b" and filled"
        return ""

    host.commands.update({INFO: '{"format": "raw"}', MAKE: make, FILL: fill})


def test_backingfile_makes_an_image_beside_the_definition_and_keeps_it(host, libvirt, image):
    assert call(host, "start", backingfile=BASE) == codes.SUCCESS
    assert host.files[IMAGE] == b"empty"
    assert call(host, "stop", backingfile=BASE) == codes.SUCCESS
    host.files[IMAGE] = b"what the guest wrote"
    assert call(host, "start", backingfile=BASE) == codes.SUCCESS
    assert host.files[IMAGE] == b"what the guest wrote"


def test_stateless_makes_it_anew_at_every_start_and_never_under_a_running_guest(host, libvirt, image):
    host.files[IMAGE] = b"what the guest wrote"
    assert call(host, "start", backingfile=BASE, stateless="1") == codes.SUCCESS
    assert host.files[IMAGE] == b"empty"
    host.files[IMAGE] = b"what the guest writes"
    assert call(host, "start", backingfile=BASE, stateless="1") == codes.SUCCESS
    assert host.files[IMAGE] == b"what the guest writes"


def test_copyindirs_fills_the_new_image_before_it_gets_its_name(host, libvirt, image):
    assert call(host, "start", backingfile=BASE, copyindirs="/srv/a /srv/b") == codes.SUCCESS
    assert host.files[IMAGE] == b"empty and filled"
    assert [argv for argv in host.ran if argv[0] != "crm_mon"] == [INFO, MAKE, FILL]


@pytest.mark.parametrize("failing", [INFO, MAKE, FILL], ids=["info", "create", "copy-in"])
@pytest.mark.parametrize("how", [(1, "", "no space left"), CommandMissing], ids=["fails", "missing"])
def test_an_image_that_cannot_be_made_leaves_the_old_one_and_starts_nothing(host, libvirt, image, failing, how, capfd):
    host.files[IMAGE] = b"old"
    host.commands[failing] = how
    code = call(host, "start", backingfile=BASE, stateless="1", copyindirs="/srv/a /srv/b")
    assert code == (codes.ERR_INSTALLED if how is CommandMissing else codes.ERR_GENERIC)
    assert reason(capfd)
    assert host.files[IMAGE] == b"old"
    assert f"{IMAGE}.new" not in host.files
    assert not host.processes
    assert REMEMBERED not in host.files


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"stateless": "1"}, "stateless needs backingfile"),
        ({"copyindirs": "/srv"}, "copyindirs needs backingfile"),
        ({"backingfile": "base.img"}, 'backingfile="base.img" is not an absolute path'),
        ({"backingfile": BASE, "copyindirs": "/srv etc"}, 'copyindirs="etc" is not an absolute path'),
        ({"config": "", "domain": "web1", "backingfile": BASE}, "backingfile needs config"),
    ],
)
def test_image_parameters_that_contradict_each_other_are_refused_and_keep_no_guest_from_stopping(
    host, libvirt, params, said, capfd
):
    for action in ("start", "validate-all", "reload-agent"):
        assert call(host, action, **params) == codes.ERR_CONFIGURED
        assert said in reason(capfd)
    libvirt.run_guest()
    assert call(host, "monitor", **params) == codes.SUCCESS
    assert call(host, "stop", **params) == codes.SUCCESS
    assert not host.processes


def test_what_a_node_lacks_for_the_image_is_told_before_the_start(host, libvirt, image, monkeypatch, capfd):
    host.files.pop(BASE)
    assert call(host, "validate-all", level=10, backingfile=BASE) == codes.ERR_GENERIC
    assert reason(capfd) == f"backingfile={BASE} is not there"
    monkeypatch.setattr(host, "which", lambda program: None)
    assert call(host, "validate-all", level=10, backingfile=BASE) == codes.ERR_INSTALLED
    assert "qemu-img, which backingfile needs, is not installed" in reason(capfd)


# ------------------------------------------------------------ pools and networks

DEVICES = """<devices>
<disk type='volume' device='disk'><source pool='fast' volume='web1'/></disk>
<disk type='volume' device='disk'><source pool='fast' volume='log'/></disk>
<disk type='file' device='cdrom'><source file='/fast.iso' pool='no'/></disk>
<interface type='network'><source network='inside'/></interface>
<interface type='bridge'><source bridge='br0' network='no'/></interface>
</devices>"""


@BY
def test_start_resources_starts_what_the_definition_names_before_the_guest(host, libvirt, given, monkeypatch):
    monkeypatch.setattr("kvmha.resources.virtual_domain.before_start.check", lambda agent, definition: None)
    host.files[CONFIG] = definition(more=DEVICES).encode()
    for guest in libvirt.guests:
        guest.xml = definition(more=DEVICES)
    assert call(host, "start", {**given, "start_resources": "true"}) == codes.SUCCESS
    begin = "start" if "domain" in given else "create"
    wanted = ["start_pool fast", "start_network inside", begin]
    assert [name for name in libvirt.calls if name.startswith("start") or name == begin] == wanted
    assert call(host, "stop", given) == codes.SUCCESS
    libvirt.calls.clear()
    assert call(host, "start", given) == codes.SUCCESS
    assert "start_pool fast" not in libvirt.calls


@pytest.mark.parametrize("trouble", [REFUSES, HANGS])
@pytest.mark.parametrize("what", ["start_pool fast", "start_network inside"])
def test_a_pool_or_network_that_does_not_start_is_named(host, libvirt, trouble, what, monkeypatch, capfd):
    monkeypatch.setattr("kvmha.resources.virtual_domain.before_start.check", lambda agent, definition: None)
    host.files[CONFIG] = definition(more=DEVICES).encode()
    libvirt.trouble[what] = trouble
    assert call(host, "start", start_resources="true") == codes.ERR_GENERIC
    assert f"{what.split()[1]} of the guest did not start" in reason(capfd)
    assert not host.processes
    assert REMEMBERED not in host.files


def test_what_speaks_against_a_start_is_asked_before_anything_is_done(host, libvirt, image, monkeypatch):
    from kvmha.ocf.agent import OcfError

    def refuse(agent, definition):
        assert definition.guest.name == "web1"
        raise OcfError(codes.ERR_GENERIC, "web1 runs on n2")

    monkeypatch.setattr("kvmha.resources.virtual_domain.before_start.check", refuse)
    assert call(host, "start", start_resources="1", backingfile=BASE) == codes.ERR_GENERIC
    assert set(libvirt.calls) <= {"domain", "defined"}
    assert not [argv for argv in host.ran if argv[0] == "qemu-img"]
    assert REMEMBERED not in host.files
    libvirt.run_guest()
    assert call(host, "start") == codes.SUCCESS
    assert qemu_process.find_any(host) == [734]


# ------------------------------------------------- a move with its disks, cut short

DISK = "/disks/web1.img"
ASIDE = f"{DISK}.moved-to-n2-20270115T080000Z"
CIB = """\
<cib validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/>
<resources><primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain"/></resources><constraints/>
</configuration><status/></cib>"""


@pytest.fixture
def aside(host):
    """The guest's disk is set aside, and the cluster holds the guest here."""
    host.files[ASIDE] = b"what is on the disk"
    state = set_aside.SetAside(source="n1", target="n2", pid=99, names={DISK: ASIDE}, copies=(DISK,))
    set_aside.write(host, "web1", state)
    host.commands[cib.query_argv()] = held_on("n1")


def test_a_guest_that_is_held_here_since_its_move_was_killed_has_its_disks_back(host, libvirt, aside):
    assert call(host, "start", timeout=90.0) == codes.SUCCESS
    assert (host.files[DISK], ASIDE in host.files) == (b"what is on the disk", False)
    # What is on the target is still to be removed there.
    assert set_aside.read(host, "web1").copies == (DISK,)


def held_on(node):
    root = cib.tree(CIB)
    moves.hold(root, "web1", node, until=1_800_000_000)
    return cib.text_of(root)


@pytest.mark.parametrize("answer", [CIB, held_on("n2"), (1, "", "no")], ids=["not-held", "held-elsewhere", "unknown"])
def test_a_guest_that_may_have_run_elsewhere_since_does_not_start_from_what_it_was(host, libvirt, aside, answer, capfd):
    host.commands[cib.query_argv()] = answer
    assert call(host, "start", timeout=90.0) == codes.ERR_GENERIC
    assert reason(capfd) == (
        f"{DISK} is set aside as {ASIDE.rpartition('/')[2]}: n2 has the disks since a move that was cut short; "
        "kvmha migrate web1 here says more"
    )
    assert DISK not in host.files


def test_a_disk_that_is_there_is_never_written_over_by_an_older_one(host, libvirt, aside):
    host.files[DISK] = b"newer"
    assert call(host, "start", timeout=90.0) == codes.SUCCESS
    assert (host.files[DISK], ASIDE in host.files) == (b"newer", True)

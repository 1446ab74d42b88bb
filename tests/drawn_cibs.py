"""CIBs for tests, each made of a number: nodes with guests, DRBD, constraints, sizes and failures."""

from __future__ import annotations

import hashlib
import random

from kvmha.record import Record

ONLINE, STANDBY, OFFLINE, LOST, MAINTENANCE = "online", "standby", "offline", "lost", "maintenance"

STATES = {
    ONLINE: 'in_ccm="true" crmd="online" join="member" expected="member"',
    STANDBY: 'in_ccm="true" crmd="online" join="member" expected="member"',
    MAINTENANCE: 'in_ccm="true" crmd="online" join="member" expected="member"',
    OFFLINE: 'in_ccm="false" crmd="offline" join="down" expected="down"',
    LOST: 'in_ccm="false" crmd="offline" join="down" expected="member"',
}

SCORES = (0, 10, 50, 100, 100, 500)


class Drawn(Record):
    """A CIB, and what it was made of."""

    seed: int
    text: str
    remarks: tuple[str, ...]


def drawn(seed: int) -> Drawn:
    """Make a CIB of a number."""
    return _Maker(seed).made()


class _Maker:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.nodes = [f"n{number}" for number in range(1, self.chance.randint(2, 4) + 1)]
        self.guests = [f"web{number}" for number in range(1, self.chance.randint(1, 6) + 1)]
        self.remarks: list[str] = []
        self.constraints: list[str] = []
        self.attributes: dict[str, dict[str, str]] = {node: {} for node in self.nodes}
        self.lrm: dict[str, dict[str, list[str]]] = {node: {} for node in self.nodes}
        self.count = 0
        self.state = dict.fromkeys(self.nodes, ONLINE)
        for node in self.nodes:
            if self.chance.random() < 0.3:
                self.state[node] = self.chance.choice((STANDBY, OFFLINE, LOST, LOST, LOST, MAINTENANCE))
        # The one that has the coordinator is there, or nobody would be scheduling.
        self.state[self.chance.choice(self.nodes)] = ONLINE

    def number(self) -> int:
        self.count += 1
        return self.count

    def remark(self, word: str) -> None:
        if word not in self.remarks:
            self.remarks.append(word)

    def often(self, part: float) -> bool:
        return self.chance.random() < part

    # ------------------------------------------------------------- the parts

    def made(self) -> Drawn:
        quorum = self.often(0.8)
        self.properties = {
            "stonith-enabled": "false" if self.often(0.15) else "true",
            "no-quorum-policy": self.chance.choice(("stop", "stop", "freeze", "freeze", "ignore", "demote")),
            "placement-strategy": self.chance.choice(
                ("default", "default", "default", "utilization", "balanced", "minimal")
            ),
        }
        if self.often(0.05):
            self.properties["maintenance-mode"] = "true"
        if self.often(0.05):
            self.properties["symmetric-cluster"] = "false"
        resources = "".join(
            (*self.fencing(), *(self.drbd() if self.often(0.3) else ()), *(self.guest(name) for name in self.guests))
        )
        self.pairs()
        text = (
            f'<cib crm_feature_set="3.15.0" validate-with="pacemaker-3.7" epoch="1" num_updates="0" admin_epoch="0" '
            f'have-quorum="{int(quorum)}" dc-uuid="{self.dc()}"><configuration><crm_config>'
            f'<cluster_property_set id="p">{self.pairs_of("p", self.properties)}</cluster_property_set></crm_config>'
            f"<nodes>{''.join(self.node(name) for name in self.nodes)}</nodes><resources>{resources}</resources>"
            f"<constraints>{''.join(self.constraints)}</constraints></configuration>"
            f"<status>{''.join(self.node_state(name) for name in self.nodes)}</status></cib>"
        )
        return Drawn(seed=self.seed, text=text, remarks=tuple(self.remarks))

    def dc(self) -> int:
        return self.nodes.index(next(node for node in self.nodes if self.state[node] == ONLINE)) + 1

    def pairs_of(self, prefix: str, values: dict[str, object]) -> str:
        return "".join(
            f'<nvpair id="{prefix}-{name}" name="{name}" value="{value}"/>' for name, value in values.items()
        )

    def node(self, name: str) -> str:
        number = self.nodes.index(name) + 1
        words = {"standby": "on"} if self.state[name] == STANDBY else {}
        if self.state[name] == MAINTENANCE:
            words = {"maintenance": "true"}
        sizes = {"memory": self.chance.choice((4, 8, 8, 12))}
        return (
            f'<node id="{number}" uname="{name}"><instance_attributes id="na{number}">'
            f"{self.pairs_of(f'na{number}', words)}</instance_attributes>"
            f'<utilization id="nu{number}">{self.pairs_of(f"nu{number}", sizes)}</utilization></node>'
        )

    def fencing(self) -> list[str]:
        if self.often(0.05):
            self.remark("no fence device")
            return []
        found = []
        for name in self.nodes:
            identity = f"fence-{name}"
            found.append(
                f'<primitive id="{identity}" class="stonith" type="fence_ipmilan">'
                f'<instance_attributes id="{identity}-o">'
                f"{self.pairs_of(f'{identity}-o', {'pcmk_host_list': name})}</instance_attributes></primitive>"
            )
            self.constraints.append(f'<rsc_location id="av-{name}" rsc="{identity}" node="{name}" score="-INFINITY"/>')
            others = [node for node in self.nodes if node != name]
            if others and self.often(0.8):
                self.runs(identity, self.chance.choice(others), "stonith", "", "fence_ipmilan")
        return found

    def drbd(self) -> list[str]:
        """The set that kvmha renders: a plain clone, the right to write, and a guest that follows it."""
        self.remark("drbd")
        sides = self.chance.sample(self.nodes, 2)
        for node in self.nodes:
            if node not in sides:
                self.location("drbd-clone", node, "-INFINITY")
        up = [node for node in sides if self.often(0.9)]
        for node in up:
            self.runs("drbd", node, "ocf", "kvmha", "DRBD")
            if self.often(0.9):
                score = self.chance.choice((10000, 10000, 1000, 10))
                self.attributes[node]["drbd-promotion-score-r1"] = str(score)
        self.constraints.append(
            '<rsc_location id="known" rsc="primary"><rule id="known-r" score="-INFINITY">'
            '<expression id="known-e" attribute="drbd-promotion-score-r1" operation="not_defined"/>'
            "</rule></rsc_location>"
            '<rsc_location id="scored" rsc="primary"><rule id="scored-r" score-attribute="drbd-promotion-score-r1">'
            '<expression id="scored-e" attribute="drbd-promotion-score-r1" operation="defined"/></rule></rsc_location>'
            '<rsc_colocation id="c-primary" rsc="primary" with-rsc="drbd-clone" score="INFINITY"/>'
            '<rsc_order id="o-primary" first="drbd-clone" then="primary"/>'
            f'<rsc_colocation id="c-web1" rsc="{self.guests[0]}" with-rsc="primary" score="INFINITY"/>'
            f'<rsc_order id="o-web1" first="primary" then="{self.guests[0]}"/>'
        )
        scored = [node for node in up if "drbd-promotion-score-r1" in self.attributes[node]]
        self.writer = self.chance.choice(scored) if scored and self.often(0.8) else ""
        if self.writer:
            self.runs("primary", self.writer, "ocf", "kvmha", "DRBDPrimary")
        return [
            '<clone id="drbd-clone"><meta_attributes id="drbd-m">'
            f"{self.pairs_of('drbd-m', {'interleave': 'true', 'clone-max': 2})}</meta_attributes>"
            '<primitive id="drbd" class="ocf" provider="kvmha" type="DRBD">'
            '<instance_attributes id="drbd-o"><nvpair id="drbd-o-r" name="drbd_resource" value="r1"/>'
            "</instance_attributes></primitive></clone>"
            '<primitive id="primary" class="ocf" provider="kvmha" type="DRBDPrimary">'
            '<instance_attributes id="primary-o">'
            '<nvpair id="primary-o-r" name="drbd_resource" value="r1"/></instance_attributes>'
            '<meta_attributes id="primary-m"><nvpair id="primary-live" name="allow-migrate" value="true"/>'
            "</meta_attributes>"
            "</primitive>"
        ]

    writer: str | None = None

    def guest(self, name: str) -> str:
        meta: dict[str, object] = {"allow-migrate": "true"}
        if self.often(0.5):
            meta["resource-stickiness"] = self.chance.choice((1, 100, 1000))
        if self.often(0.3):
            meta["priority"] = self.chance.choice((1, 5, 10))
        if self.often(0.06):
            meta["target-role"] = "Stopped"
        if self.often(0.05):
            meta["is-managed"] = "false"
        follows = self.writer is not None and name == self.guests[0]
        if follows:
            node = self.writer if self.often(0.9) else ""
        else:
            node = self.chance.choice(self.nodes) if self.often(0.8) else ""
        if node:
            self.runs(name, node, "ocf", "kvmha", "VirtualDomain", fault=self.chance.choice(FAULTS))
        for other in self.nodes:
            if other == node:
                continue
            draw = self.chance.random()
            if draw < 0.05 and self.state[other] == ONLINE:
                self.failed(name, other, "start", 1)
                self.attributes[other][f"fail-count-{name}#start_0"] = "INFINITY"
                self.attributes[other][f"last-failure-{name}#start_0"] = "1"
                self.remark("failed start")
        for other in self.nodes:
            if self.often(0.2):
                self.location(name, other, self.chance.choice((*SCORES, -50, "-INFINITY", "INFINITY")))
        sizes = {"memory": self.chance.choice((1, 2, 2, 4, 6))}
        return (
            f'<primitive id="{name}" class="ocf" provider="kvmha" type="VirtualDomain">'
            f'<meta_attributes id="{name}-m">{self.pairs_of(f"{name}-m", meta)}</meta_attributes>'
            f'<operations><op id="{name}-mon" name="monitor" interval="10s"/></operations>'
            f'<utilization id="{name}-u">{self.pairs_of(f"{name}-u", sizes)}</utilization></primitive>'
        )

    def location(self, name: str, node: str, score: object) -> None:
        self.constraints.append(f'<rsc_location id="l{self.number()}" rsc="{name}" node="{node}" score="{score}"/>')

    def pairs(self) -> None:
        """Draw who follows whom, never in a circle."""
        for place, name in enumerate(self.guests):
            if place and self.often(0.2):
                other = self.chance.choice(self.guests[:place])
                score = self.chance.choice(("INFINITY", "-INFINITY", "-INFINITY", 100, -100))
                self.remark("colocation")
                self.constraints.append(
                    f'<rsc_colocation id="c{self.number()}" rsc="{name}" with-rsc="{other}" score="{score}"/>'
                )

    # ---------------------------------------------------------------- status

    def runs(self, name: str, node: str, kind: str, provider: str, agent: str, *, fault: str = "") -> None:
        self.known(name, node, kind, provider, agent)
        self.operation(name, node, "start", 0, 0)
        if fault == "failed monitor" and self.state[node] not in (LOST, OFFLINE):
            self.remark("failed monitor")
            self.failed(name, node, "monitor", self.chance.choice((1, 7)), interval=10000)
            self.attributes[node][f"fail-count-{name}#monitor_10000"] = "1"
        elif fault == "failed stop" and self.state[node] not in (LOST, OFFLINE):
            self.remark("failed stop")
            self.failed(name, node, "stop", 1)
            self.attributes[node][f"fail-count-{name}#stop_0"] = "INFINITY"

    def known(self, name: str, node: str, kind: str, provider: str, agent: str) -> None:
        more = f' provider="{provider}"' if provider else ""
        self.lrm[node].setdefault(name, [f'class="{kind}"{more} type="{agent}"'])

    def operation(self, name: str, node: str, operation: str, rc: int, interval: int, *, failed: bool = False) -> None:
        call = self.number()
        identity = f"{name}_last_failure_0" if failed else f"{name}_{'last' if not interval else operation}_{interval}"
        self.lrm[node][name].append(
            f'<lrm_rsc_op id="{identity}" operation_key="{name}_{operation}_{interval}" operation="{operation}" '
            f'crm-debug-origin="test" crm_feature_set="3.15.0" transition-key="{call}:1:0:a" '
            f'transition-magic="0:{rc};{call}:1:0:a" call-id="{call}" rc-code="{rc}" op-status="{0 if not rc else 4}" '
            f'op-digest="{self.digest(name)}" interval="{interval}" last-rc-change="{1000 + call}" '
            f'exec-time="10" queue-time="0" '
            f'on_node="{node}"/>'
        )

    def digest(self, name: str) -> str:
        """Return the digest of a resource's parameters as Pacemaker makes it; another one means a restart."""
        params = "" if name.startswith("web") else ' drbd_resource="r1"'
        if name.startswith("fence-"):
            params = f' pcmk_host_list="{name[len("fence-") :]}"'
        return hashlib.md5(f" <parameters{params}/>\n".encode()).hexdigest()

    def failed(self, name: str, node: str, operation: str, rc: int, interval: int = 0) -> None:
        self.known(name, node, "ocf", "kvmha", "VirtualDomain")
        self.operation(name, node, operation, rc, interval, failed=True)

    def node_state(self, name: str) -> str:
        number = self.nodes.index(name) + 1
        if self.state[name] != ONLINE:
            self.remark(self.state[name])
        known = "".join(
            f'<lrm_resource id="{resource}" {rows[0]}>{"".join(rows[1:])}</lrm_resource>'
            for resource, rows in self.lrm[name].items()
        )
        gone = self.state[name] == OFFLINE
        values = {} if gone else self.attributes[name]
        passing = "".join(
            f'<nvpair id="s{number}-{place}" name="{key}" value="{value}"/>'
            for place, (key, value) in enumerate(values.items())
        )
        inner = (
            f'<transient_attributes id="{number}"><instance_attributes id="s{number}">{passing}</instance_attributes>'
            f'</transient_attributes><lrm id="{number}"><lrm_resources>{"" if gone else known}</lrm_resources></lrm>'
        )
        words = f'id="{number}" uname="{name}" {STATES[self.state[name]]} crm-debug-origin="test"'
        return f"<node_state {words}>{inner}</node_state>"


FAULTS = ("", "", "", "", "", "", "", "failed monitor", "failed stop")

"""High availability for KVM guests on two- and three-node Pacemaker clusters."""

__version__ = "0.1.0"

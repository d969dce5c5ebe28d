"""The names of everything in the store: the table of ARCHITECTURE.md section 4, as code."""

from enum import Enum


class ResourceKind(Enum):
    """What people declare."""

    MODEL = "model"
    SESSION = "session"
    QUERY = "query"
    PROFILE = "profile"


class Keys:
    """The keys and channels of one cluster.

    The cluster's name is in braces, a hash tag: all keys of one cluster lie on one node of a Redis
    Cluster, which the atomic scripts need.
    """

    def __init__(self, cluster: str) -> None:
        """Several clusters may share a store; they never see one another."""
        root = f"nexus:{{{cluster}}}:"
        self.root = root
        self.plan = f"{root}plan"
        self.table = f"{root}table"
        self.catalogue_version = f"{root}catalogue-version"
        self.backends = f"{root}backend/"
        self.frontends = f"{root}frontend/"
        self.scheduler_lease = f"{root}lease/scheduler"
        self.plan_channel = f"{root}changed/plan"
        self.table_channel = f"{root}changed/table"
        self.catalogue_channel = f"{root}changed/catalogue"
        self.status_channel = f"{root}changed/status"

    def resources(self, kind: ResourceKind) -> str:
        """The prefix of all resources of a kind."""
        return f"{self.root}{kind.value}/"

    def resource(self, kind: ResourceKind, name: str) -> str:
        """One resource; a profile's name is ``MODEL/DEVICE``."""
        return f"{self.resources(kind)}{name}"

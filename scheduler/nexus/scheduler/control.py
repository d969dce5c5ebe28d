"""The control service: declare, look at and remove resources; look at plan and table.

Every scheduler serves it, leader or not: resources are not fenced, and what the leader published is
read from the store. Rules live in ``catalogue_rules``, documents in ``resources``.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import grpc.aio

from nexus.core.cluster import Catalogue, ClusterView
from nexus.core.errors import DocumentError, MessageTooLargeError
from nexus.core.model import Model
from nexus.core.names import SessionName
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.rpc import convert_control
from nexus.rpc.convert_control import Declared, kind_of, name_of, require_kind
from nexus.scheduler.catalogue_rules import find, require_removable, resources_of, with_resources
from nexus.scheduler.facts import facts_of
from nexus.scheduler.plan_scenario import plan_json, plan_scenario
from nexus.scheduler.resources import parse_resources
from nexus.scheduler.scenario_file import parse_scenario
from nexus.store.cluster import ClusterStore
from nexus.store.keys import ResourceKind
from nexus.v1 import control_pb2, control_pb2_grpc

SERVICE = "nexus.v1.ControlService"
APPLY_RESOURCES_MAX = 1_000
"""In one call; more are refused as too large."""

_Context = grpc.aio.ServicerContext[Any, Any]


class ControlService(control_pb2_grpc.ControlServiceServicer):
    """``rates`` gives the expected rates of all sessions; ``leader`` this process's name, if so."""

    def __init__(
        self,
        cluster: ClusterStore,
        *,
        rates: Callable[[], Mapping[SessionName, float]],
        leader: Callable[[], str],
    ) -> None:
        """Hold what calls need; nothing is read yet."""
        self._cluster = cluster
        self._rates = rates
        self._leader = leader

    async def Apply(  # noqa: N802 - gRPC's name
        self, request: control_pb2.ApplyRequest, context: _Context
    ) -> control_pb2.ApplyResponse:
        """Declare resources: all of them or, when one is not valid, none."""
        del context
        wanted = (
            *parse_resources(request.yaml),
            *(convert_control.resource_from_pb(message) for message in request.resources),
        )
        if not wanted:
            raise DocumentError("nothing to apply: neither documents nor resources were sent")
        if len(wanted) > APPLY_RESOURCES_MAX:
            raise MessageTooLargeError(
                f"{len(wanted)} resources in one call are more than {APPLY_RESOURCES_MAX}; "
                "apply them in parts"
            )
        catalogue = await self._cluster.catalogue()
        with_resources(catalogue, wanted)
        changes = [(resource, _change(catalogue, resource)) for resource in wanted]
        if not request.dry_run:
            for resource, change in sorted(changes, key=_models_first):
                if change != "unchanged":
                    await self._put(resource)
        return control_pb2.ApplyResponse(
            applied=[
                control_pb2.ApplyResponse.Applied(
                    kind=kind_of(resource), name=name_of(resource), change=change
                )
                for resource, change in changes
            ]
        )

    async def Get(  # noqa: N802
        self, request: control_pb2.GetRequest, context: _Context
    ) -> control_pb2.GetResponse:
        """One resource as declared."""
        del context
        resource = await self._find(request.kind, request.name)
        return control_pb2.GetResponse(resource=convert_control.resource_to_pb(resource))

    async def List(  # noqa: N802
        self, request: control_pb2.ListRequest, context: _Context
    ) -> control_pb2.ListResponse:
        """All resources of a kind, or of all."""
        del context
        kinds = [request.kind] if request.kind else list(convert_control.KINDS)
        for kind in kinds:
            require_kind(kind)
        catalogue = await self._cluster.catalogue()
        return control_pb2.ListResponse(
            resources=[
                convert_control.resource_to_pb(resource)
                for kind in kinds
                for resource in resources_of(catalogue, kind)
            ]
        )

    async def Describe(  # noqa: N802
        self, request: control_pb2.DescribeRequest, context: _Context
    ) -> control_pb2.DescribeResponse:
        """One resource and what the cluster made of it."""
        del context
        resource = await self._find(request.kind, request.name)
        catalogue = await self._cluster.catalogue()
        plan, table = await self._cluster.plan(), await self._cluster.table()
        facts = facts_of(resource, catalogue, plan, table, self._rates())
        return control_pb2.DescribeResponse(
            resource=convert_control.resource_to_pb(resource),
            facts_json=json.dumps(facts).encode(),
        )

    async def Delete(  # noqa: N802
        self, request: control_pb2.DeleteRequest, context: _Context
    ) -> control_pb2.DeleteResponse:
        """Remove a resource that nothing else needs."""
        del context
        require_kind(request.kind)
        require_removable(await self._cluster.catalogue(), request.kind, request.name)
        await self._cluster.delete(ResourceKind(request.kind), request.name)
        return control_pb2.DeleteResponse()

    async def GetPlan(  # noqa: N802
        self, request: control_pb2.GetPlanRequest, context: _Context
    ) -> control_pb2.GetPlanResponse:
        """The newest published plan."""
        del request, context
        return convert_control.plan_to_pb(await self._cluster.plan())

    async def GetRoutingTable(  # noqa: N802
        self, request: control_pb2.GetRoutingTableRequest, context: _Context
    ) -> control_pb2.GetRoutingTableResponse:
        """The newest published routing table."""
        del request, context
        return convert_control.table_to_pb(await self._cluster.table())

    async def GetCluster(  # noqa: N802
        self, request: control_pb2.GetClusterRequest, context: _Context
    ) -> control_pb2.GetClusterResponse:
        """Who is there, and which plan is in force."""
        del request, context
        plan, table = await self._cluster.plan(), await self._cluster.table()
        view = ClusterView(
            leader=self._leader(),
            fence=plan.fence,
            epoch=plan.epoch,
            plan_version=plan.version,
            table_version=table.version,
            catalogue_version=(await self._cluster.catalogue()).version,
            backends=await self._cluster.backends(),
            frontends=await self._cluster.frontends(),
        )
        return convert_control.cluster_to_pb(view)

    async def PlanScenario(  # noqa: N802
        self, request: control_pb2.PlanScenarioRequest, context: _Context
    ) -> control_pb2.PlanScenarioResponse:
        """Plan a scenario offline; profiles must stand in the file."""
        del context
        result = plan_scenario(parse_scenario(request.yaml), request.policy or None)
        return control_pb2.PlanScenarioResponse(json=json.dumps(plan_json(result)).encode())

    async def _find(self, kind: str, name: str) -> Declared:
        require_kind(kind)
        return find(await self._cluster.catalogue(), kind, name)

    async def _put(self, resource: Declared) -> None:
        if isinstance(resource, Model):
            await self._cluster.put_model(resource)
        elif isinstance(resource, Query):
            await self._cluster.put_query(resource)
        elif isinstance(resource, Profile):
            await self._cluster.put_profile(resource)
        else:
            await self._cluster.put_session(resource)


def _change(catalogue: Catalogue, resource: Declared) -> str:
    for present in resources_of(catalogue, kind_of(resource)):
        if name_of(present) == name_of(resource):
            return "unchanged" if present == resource else "changed"
    return "created"


def _models_first(change: tuple[Declared, str]) -> bool:
    """Sort key: whoever reads in between finds every model that a query names."""
    return not isinstance(change[0], Model)

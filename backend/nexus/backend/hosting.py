"""What the plan has put on this device: sessions, the groups they are batched in, their models.

Each method that changes something returns the effects it asks for.
"""

from collections.abc import Collection, Iterator, Mapping

from nexus.backend.events import BackendEffect, PlanChanged
from nexus.backend.hosted_group import GroupKey, HostedGroup
from nexus.backend.hosted_session import HostedSession
from nexus.backend.latency_estimator import LatencyEstimator
from nexus.backend.model_residency import ModelResidency, Residency
from nexus.core.names import ModelName, SessionName
from nexus.core.plan import Placement
from nexus.core.profile import Profile


class Hosting:
    """``sessions`` and ``groups`` are there to be read; ``models`` to be told what was loaded.

    ``leaving``: some session still finishes what is here of it. ``renew`` after every change.
    """

    def __init__(self, reply_us: int, early_us: int) -> None:
        """Start without a plan; see ``BackendEngine`` for the two times."""
        self.sessions: dict[SessionName, HostedSession] = {}
        self.groups: dict[GroupKey, HostedGroup] = {}
        self.models = ModelResidency()
        self.plan = PlanChanged(None, 0)
        self.draining = False
        self.leaving = False
        self._reply_us = reply_us
        self._early_us = early_us
        self._estimators: dict[ModelName, LatencyEstimator] = {}

    def wanted(self) -> dict[SessionName, Placement]:
        """What the plan places here."""
        placements = self.plan.plan.placements if self.plan.plan else ()
        return {placement.session: placement for placement in placements}

    def change(self, event: PlanChanged, executing: Collection[SessionName]) -> list[BackendEffect]:
        """Take a plan that is not older than the last; sessions that move take their queue along.

        A session whose model is another now leaves first, and comes back once nothing of it waits.
        """
        self.plan = event
        wanted = self.wanted()
        for name, session in self.sessions.items():
            placement = wanted.get(name)
            session.leaving = placement is None or placement.model != session.placement.model
            if placement is not None and not session.leaving:
                session.placement = placement
                session.profile = event.profiles.get(placement.model, session.profile)
                self._regroup(session)
        return self.converge(executing)

    def converge(self, executing: Collection[SessionName]) -> list[BackendEffect]:
        """Forget what left the plan and has nothing here any more; host what is new in it.

        In this order, so that a device is not asked to hold both where it need not.
        """
        effects: list[BackendEffect] = []
        for name, session in tuple(self.sessions.items()):
            if session.leaving and not session.items and name not in executing:
                self._leave_group(session)
                del self.sessions[name]
                effects += self.models.release(name, session.placement.model)
        for name, placement in self.wanted().items():
            profile = self.plan.profiles.get(placement.model)
            if name not in self.sessions and profile is not None:
                effects += self.models.use(placement)
                self._host(placement, profile)
        return effects

    def renew(self) -> None:
        """Bring sessions and groups up to date, and forget the groups and l(b) of nobody."""
        for session in self.sessions.values():
            session.renew(draining=self.draining)
        self.leaving = any(session.leaving for session in self.sessions.values())
        self.groups = {key: group for key, group in self.groups.items() if group.members}
        for group in self.groups.values():
            group.renew(self._reply_us, self._early_us, draining=self.draining)
        used = {key.profile for key in self.groups}
        self._estimators = {name: e for name, e in self._estimators.items() if name in used}

    def failed(self) -> Mapping[SessionName, str]:
        """The placed sessions that cannot be served, and why."""
        failed = {
            name: f"model {placement.model!r} has no profile on this device type"
            for name, placement in self.wanted().items()
            if name not in self.sessions
        }
        for name, session in self.sessions.items():
            if not session.leaving and session.model.residency is Residency.FAILED:
                failed[name] = session.model.message
        return failed

    def loaded(self) -> tuple[SessionName, ...]:
        """The sessions that can be served now, sorted."""
        hosted = (s for s in self.sessions.values() if not s.leaving and s.model.resident)
        return tuple(sorted(session.placement.session for session in hosted))

    def estimators(self) -> Iterator[LatencyEstimator]:
        """l(b) of everything that is batched here."""
        return iter(self._estimators.values())

    def _host(self, placement: Placement, profile: Profile) -> None:
        model = self.models[placement.model]
        group = self._group(self._key(placement), profile)
        session = HostedSession(placement, model, group, profile)
        group.members[placement.session] = session
        self.sessions[placement.session] = session

    def _key(self, placement: Placement) -> GroupKey:
        """A group shares the profile of its name; one without a profile shares by model."""
        if placement.group is None:
            return GroupKey("", placement.model, placement.session)
        shared = placement.group in self.plan.profiles
        return GroupKey(placement.group, placement.group if shared else placement.model)

    def _group(self, key: GroupKey, profile: Profile) -> HostedGroup:
        """The group of that key; ``profile`` is that of the model, for a group that has no own."""
        estimator = self._estimator(self.plan.profiles.get(key.profile, profile))
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = HostedGroup(key, estimator)
        group.estimator = estimator
        return group

    def _estimator(self, profile: Profile) -> LatencyEstimator:
        """What is known of l(b); a profile that was measured anew begins anew."""
        estimator = self._estimators.get(profile.model)
        if estimator is None or estimator.profile != profile:
            estimator = self._estimators[profile.model] = LatencyEstimator(profile)
        return estimator

    def _regroup(self, session: HostedSession) -> None:
        old, name = session.group, session.placement.session
        new = self._group(self._key(session.placement), session.profile)
        if new is not old:
            del old.members[name]
            new.members[name] = session
            session.group = new
            for queued in [queued for queued in old.queue.waiting if queued.session == name]:
                old.queue.remove(queued)
                new.queue.push(queued)
            for one in [one for one in old.begun if one.queued.session == name]:
                old.begun.remove(one)
                new.begun.append(one)

    def _leave_group(self, session: HostedSession) -> None:
        del session.group.members[session.placement.session]

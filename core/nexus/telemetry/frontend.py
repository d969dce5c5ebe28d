"""What a frontend tells Prometheus."""

from collections.abc import Mapping

from nexus.core.names import BackendName, ModelName, QueryName, SessionName
from nexus.core.request import DropReason, Outcome
from nexus.core.units import s_from_us
from nexus.telemetry import metrics
from nexus.telemetry.metric_set import MetricSet

OK = "ok"


def outcome_label(outcome: Outcome) -> str:
    """``ok``, or the drop reason."""
    return OK if outcome.reason is None else outcome.reason.value


class FrontendMetrics:
    """The frontend's metrics, in the frontend's words. Times are in microseconds."""

    def __init__(self) -> None:
        """Declare them on a registry of their own: ``registry``."""
        self._metrics = MetricSet(metrics.FRONTEND)
        self.registry = self._metrics.registry

    def answered(
        self,
        session: SessionName,
        model: ModelName,
        outcome: Outcome,
        latency_us: int,
        slack_us: int,
    ) -> None:
        """A request for a session ended; ``slack_us`` is deadline minus now."""
        self._metrics.count(metrics.REQUESTS, session, model, outcome_label(outcome))
        if outcome.ok:
            latency_s = s_from_us(latency_us)
            self._metrics.observe(metrics.REQUEST_LATENCY, session, value=latency_s)
        self._observe_slack(session, outcome, slack_us)

    def degraded(self, session: SessionName, variant: ModelName) -> None:
        """A cheaper variant of the session's model answered a request."""
        self._metrics.count(metrics.DEGRADED, session, variant)

    def query_answered(
        self, query: QueryName, outcome: Outcome, latency_us: int, slack_us: int
    ) -> None:
        """A frame sent to a query ended."""
        self._metrics.count(metrics.QUERY_REQUESTS, query, outcome_label(outcome))
        if outcome.ok:
            self._metrics.observe(metrics.QUERY_LATENCY, query, value=s_from_us(latency_us))
        self._observe_slack(query, outcome, slack_us)

    def stage_answered(self, session: SessionName, latency_us: int) -> None:
        """A call of a query's stage (``QUERY/STAGE``) was answered."""
        self._metrics.observe(metrics.STAGE_LATENCY, session, value=s_from_us(latency_us))

    def dispatched(self, session: SessionName, backend: BackendName, outcome: Outcome) -> None:
        """A backend ended a dispatch."""
        self._metrics.count(metrics.DISPATCHES, session, backend, outcome_label(outcome))

    def asked(self, refusal: Outcome | None) -> None:
        """Another frontend asked for a place in a pool, and was granted one or refused."""
        self._metrics.count(metrics.ASKS, OK if refusal is None else outcome_label(refusal))

    def in_flight(self, requests: int) -> None:
        """So many requests and frames are accepted and unanswered."""
        self._metrics.set(metrics.IN_FLIGHT, value=requests)

    def slo_targets(self, slos_us: Mapping[str, int]) -> None:
        """The SLO of every session and query served now."""
        targets = {name: s_from_us(slo_us) for name, slo_us in slos_us.items()}
        self._metrics.replace(metrics.SLO_TARGET, targets)

    def expected_wait(self, session: SessionName, wait_us: int) -> None:
        """Admission expects a request that arrives now to wait so long."""
        self._metrics.set(metrics.EXPECTED_WAIT, session, value=s_from_us(wait_us))

    def table(self, version: int, age_us: int) -> None:
        """The routing table in use, and the time since it was last confirmed."""
        self._metrics.set(metrics.TABLE_VERSION, value=version)
        self._metrics.set(metrics.TABLE_AGE, value=s_from_us(age_us))

    def store_up(self, up: bool) -> None:
        """Whether the last call to the store succeeded."""
        self._metrics.set(metrics.FRONTEND_STORE_UP, value=float(up))

    def _observe_slack(self, name: str, outcome: Outcome, slack_us: int) -> None:
        """Of what was finished only: what was dropped early says nothing about slack."""
        if outcome.ok or outcome.reason is DropReason.LATE:
            self._metrics.observe(metrics.SLACK, name, value=s_from_us(slack_us))

"""All that is learnt of the load: averages for epochs, the last seconds for the tuner.

One look feeds all estimators; plans ask for an ``Expectation``. Nothing here is published or taken
over by another leader: a standby watches, too.
"""

from collections.abc import Mapping

from nexus.core.cluster import Catalogue
from nexus.core.names import SessionName, declared_session
from nexus.core.units import US_PER_S
from nexus.scheduler.correction import Factors, updated_factors
from nexus.scheduler.envelope import Recent, Spread, remembered, window_rates
from nexus.scheduler.events import Observed
from nexus.scheduler.expectation import Expectation, drifted, expect
from nexus.scheduler.fan_out import FanOutEstimator
from nexus.scheduler.rates import RateEstimator
from nexus.scheduler.settings import EpochSettings, TunerSettings
from nexus.scheduler.tuner import Holds, alerted, floors, held, surges


class LoadWatch:
    """Rates, fan-outs, corrections of profiles, and what surged a moment ago."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self.factors: Factors = {}
        self._rates = RateEstimator()
        self._fan_outs = FanOutEstimator()
        self._recent: Recent = {}
        self._spread = Spread()
        self._usual = Spread()
        self._holds: Holds = {}
        self._news = False

    def observe(self, observed: Observed, now_us: int) -> None:
        """Take in what everybody reports."""
        self._rates.observe(observed.frontends, now_us)
        self._fan_outs.observe(observed.frontends, now_us)
        self.factors = updated_factors(self.factors, observed.catalogue, observed.backends)
        recent = remembered(self._recent, observed.frontends)
        self._news = recent != self._recent
        self._recent = recent
        # A second is judged by what was usual before it.
        self._usual = self._spread
        self._spread = self._spread.after(window_rates(self._recent, US_PER_S), now_us)

    def expectation(
        self, catalogue: Catalogue, carried: Mapping[str, float], now_us: int
    ) -> Expectation:
        """The load that a plan made now must cover; ``carried`` are floors besides."""
        expected = expect(catalogue, self._rates, self._fan_outs, carried)
        return expected.grown(floors(self._holds, now_us))

    def fan_outs(self) -> Mapping[SessionName, float]:
        """The fan-outs measured so far, by ``QUERY/STAGE``."""
        return self._fan_outs.measured()

    def dispersion(self, key: str) -> float:
        """How unevenly the items of a session come, whatever model serves it (envelope.py)."""
        return self._spread.dispersion(declared_session(key))

    def may_be_even(self, key: str) -> bool:
        """Whether the items of a session or the frames of a query may come evenly."""
        return self._spread.may_be_even(declared_session(key))

    def drift(
        self,
        planned: Mapping[SessionName, float],
        expectation: Expectation,
        settings: EpochSettings,
        now_us: int,
    ) -> SessionName | None:
        """A session, watched for long enough, whose average has left its allocation."""
        keys = expectation.measured_as()
        watched = {
            name: rate
            for name, rate in expectation.rates().items()
            if self._rates.watched_us(keys[name], now_us) >= settings.history_us
        }
        return drifted(planned, watched, self._rates, settings)

    def surge(
        self, planned: Mapping[str, float], settings: TunerSettings, now_us: int
    ) -> Mapping[str, float]:
        """What has outgrown the plan in the last seconds; it is held from now on."""
        if not self._news:
            return {}
        found = surges(
            planned,
            self._recent,
            self._usual,
            rate_high=settings.rate_high,
            alert=alerted(self._holds, now_us),
        )
        self._holds = held(self._holds, found, now_us, settings.hold_us)
        return found

"""The line l(b) = alpha * b + beta that lies closest to a profile: what published tables give."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """A fitted line and how far the profile strays from it.

    ``r_squared`` is the share of the variance that the line explains; ``worst_batch`` the batch
    whose relative error, ``worst_error_ratio`` = (l(b) - line) / l(b), is largest in size.
    """

    alpha_us: float
    beta_us: float
    r_squared: float
    worst_batch: int
    worst_error_ratio: float

    def latency_us(self, batch: int) -> float:
        """The line at ``batch``."""
        return self.alpha_us * batch + self.beta_us


def fit_line(profile: Profile) -> LinearFit:
    """Least squares over every batch of the profile.

    Raises:
        InvalidArgumentError: The profile has one batch only.
    """
    count = profile.max_batch
    if count < 2:  # noqa: PLR2004 - two points make a line
        raise InvalidArgumentError(
            f"profile of {profile.model!r} has one batch only: no line fits", reason="one_batch"
        )
    batches = range(1, count + 1)
    mean_batch = (count + 1) / 2
    mean_us = sum(profile.latencies_us) / count
    spread = sum((b - mean_batch) ** 2 for b in batches)
    slope = sum((b - mean_batch) * (profile.latency_us(b) - mean_us) for b in batches) / spread
    return _report(profile, slope, mean_us - slope * mean_batch)


def _report(profile: Profile, alpha_us: float, beta_us: float) -> LinearFit:
    batches = range(1, profile.max_batch + 1)
    residuals_us = {b: profile.latency_us(b) - (alpha_us * b + beta_us) for b in batches}
    mean_us = sum(profile.latencies_us) / profile.max_batch
    total = sum((latency_us - mean_us) ** 2 for latency_us in profile.latencies_us)
    unexplained = sum(residual_us**2 for residual_us in residuals_us.values())
    worst = max(batches, key=lambda b: abs(residuals_us[b]) / profile.latency_us(b))
    return LinearFit(
        alpha_us=alpha_us,
        beta_us=beta_us,
        r_squared=1.0 - unexplained / total if total else 1.0,
        worst_batch=worst,
        worst_error_ratio=residuals_us[worst] / profile.latency_us(worst),
    )

"""The fitted line: exact for a line, best in the sense of least squares otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import InvalidArgumentError
from nexus.core.profile import Profile, linear_profile
from nexus.profiler.fit import fit_line


def profile(*latencies_us: int) -> Profile:
    return Profile(model="m", device="d", latencies_us=latencies_us)


def squared_error(latencies_us: list[int], alpha_us: float, beta_us: float) -> float:
    return sum((us - alpha_us * b - beta_us) ** 2 for b, us in enumerate(latencies_us, start=1))


def test_fit_of_a_line_finds_it() -> None:
    fit = fit_line(linear_profile("m", "v100", 750, 7_960, 64))
    assert fit.alpha_us == pytest.approx(750)
    assert fit.beta_us == pytest.approx(7_960)
    assert fit.r_squared == pytest.approx(1.0)
    assert fit.worst_error_ratio == pytest.approx(0.0)
    assert fit.latency_us(10) == pytest.approx(15_460)


def test_fit_names_the_batch_that_strays_most() -> None:
    fit = fit_line(profile(5_000, 6_000, 12_000, 8_000, 9_000))
    assert fit.worst_batch == 3
    assert fit.worst_error_ratio > 0.3
    assert 0 < fit.r_squared < 1


def test_fit_of_a_constant_explains_all() -> None:
    fit = fit_line(profile(500, 500, 500))
    assert fit.alpha_us == 0
    assert fit.beta_us == 500
    assert fit.r_squared == 1.0


def test_fit_of_one_batch_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="one batch only"):
        fit_line(profile(500))


@given(
    st.lists(st.integers(1, 10**6), min_size=2, max_size=40),
    st.floats(-1e3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_fit_is_not_beaten_by_any_other_line(
    latencies_us: list[int], alpha_off: float, beta_off: float
) -> None:
    fit = fit_line(profile(*latencies_us))
    best = squared_error(latencies_us, fit.alpha_us, fit.beta_us)
    other = squared_error(latencies_us, fit.alpha_us + alpha_off, fit.beta_us + beta_off)
    assert best <= other * (1 + 1e-9) + 1e-3

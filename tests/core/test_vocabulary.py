"""The vocabulary validates itself: what is wrong is refused with the name of the offender."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core import errors
from nexus.core.device import DeviceSpec
from nexus.core.errors import InvalidArgumentError, NexusError, StatusCode
from nexus.core.finding import Region
from nexus.core.model import EngineKind, Model
from nexus.core.names import session_name, stage_session_name
from nexus.core.profile import Profile, linear_profile
from nexus.core.query import Per, Query, Stage
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.session import Session
from nexus.core.tensor import (
    DataType,
    Tensor,
    TensorSpec,
    iterate_bytes_elements,
    pack_bytes_elements,
)


def all_errors(root: type[NexusError]) -> list[type[NexusError]]:
    """The tree of this module; rooms may add leaves of their own below it."""
    ours = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(error for child in ours for error in all_errors(child))]


def test_errors_docstring_draws_the_whole_tree() -> None:
    for error in all_errors(NexusError):
        assert error.__name__ in (errors.__doc__ or "")
        assert error.code.name in (errors.__doc__ or "")


def test_drop_reasons_all_have_a_status_and_load_is_never_unavailable() -> None:
    for reason in DropReason:
        assert reason.status is not StatusCode.OK
    for reason in (DropReason.OVERLOADED, DropReason.QUEUE_FULL, DropReason.DEADLINE):
        assert reason.status is not StatusCode.UNAVAILABLE


def test_outcome_dropped_has_a_message() -> None:
    assert Outcome().ok
    assert dropped(DropReason.LATE).message == "late"


def test_session_names_read_like_the_paper() -> None:
    assert session_name("resnet50", 50_000) == "resnet50@50ms"
    assert session_name("resnet50", 2_500) == "resnet50@2.5ms"
    assert stage_session_name("traffic", "detect") == "traffic/detect"
    assert Session(model="m", slo_us=1_000).name == "m@1ms"


@pytest.mark.parametrize("slo_us", [0, -5, 10**12])
def test_session_refuses_an_impossible_slo(slo_us: int) -> None:
    with pytest.raises(InvalidArgumentError, match="SLO") as caught:
        Session(model="m", slo_us=slo_us)
    assert caught.value.reason == "invalid_slo"


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_session_refuses_a_rate_that_is_no_rate(rate: float) -> None:
    with pytest.raises(InvalidArgumentError, match="rate"):
        Session(model="m", slo_us=1, expected_rate=rate)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "x" * 129])
def test_model_refuses_a_bad_name(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="name"):
        Model(name=name, engine=EngineKind.EMULATED)


def test_model_torch_needs_a_network() -> None:
    with pytest.raises(InvalidArgumentError, match="'network'"):
        Model(name="m", engine=EngineKind.TORCH)


def test_model_refuses_twin_inputs_and_a_batch_out_of_range() -> None:
    spec = TensorSpec("x", DataType.FP32, (-1,))
    with pytest.raises(InvalidArgumentError, match="two inputs"):
        Model(name="m", engine=EngineKind.EMULATED, inputs=(spec, spec))
    with pytest.raises(InvalidArgumentError, match="max_batch 0"):
        Model(name="m", engine=EngineKind.EMULATED, max_batch=0)


def test_query_is_kept_in_topological_order() -> None:
    query = Query(
        name="q",
        slo_us=1,
        stages=(
            Stage(name="join", model="m", after=("left", "right")),
            Stage(name="left", model="m", after=("root",)),
            Stage(name="right", model="m", after=("root",)),
            Stage(name="root", model="m"),
        ),
    )
    assert [stage.name for stage in query.stages] == ["root", "left", "right", "join"]
    assert [stage.name for stage in query.children("root")] == ["left", "right"]
    assert [stage.name for stage in query.roots] == ["root"]
    assert query.stage("join").per is Per.FINDING
    with pytest.raises(KeyError):
        query.stage("none")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((), "0 stages"),
        ((Stage(name="a", model="m", after=("b",)),), "'a' is after 'b', which is not a stage"),
        ((Stage(name="a", model="m"), Stage(name="a", model="m")), "same name"),
        ((Stage(name="a", model="m", after=("a",)),), "cyclic: a wait"),
    ],
)
def test_query_refuses_what_is_not_a_dag(stages: tuple[Stage, ...], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Query(name="q", slo_us=1, stages=stages)


def test_stage_per_finding_needs_a_parent() -> None:
    with pytest.raises(InvalidArgumentError, match="needs a parent"):
        Stage(name="a", model="m", per=Per.FINDING)


def test_profile_searches_every_batch_of_a_jagged_profile() -> None:
    profile = Profile(model="m", device="d", latencies_us=(10, 30, 25, 60))
    assert profile.largest_batch_within(25) == 3
    assert profile.largest_batch_within(25, limit=2) == 1
    assert profile.largest_batch_within(9) == 0
    assert profile.best_throughput == pytest.approx(3e6 / 25)


@pytest.mark.parametrize("latencies_us", [(), (5, 0)])
def test_profile_refuses_rows_that_are_no_latency(latencies_us: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="profile of 'm' on 'd'"):
        Profile(model="m", device="d", latencies_us=latencies_us)


def test_profile_linear_is_alpha_b_plus_beta() -> None:
    assert linear_profile("m", "d", 2.0, 5.0, 3).latencies_us == (7, 9, 11)


@given(st.lists(st.binary(max_size=9), max_size=5))
def test_bytes_elements_round_trip(elements: list[bytes]) -> None:
    content = pack_bytes_elements(elements)
    assert list(iterate_bytes_elements("x", content)) == elements
    assert Tensor("x", DataType.BYTES, (len(elements),), content).content == content


@pytest.mark.parametrize("content", [b"\x05\0\0\0ab", b"\x01\0"])
def test_bytes_elements_cut_short_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="runs past the end"):
        Tensor("x", DataType.BYTES, (1,), content)


def test_tensor_says_how_many_bytes_it_wants() -> None:
    with pytest.raises(InvalidArgumentError, match=r"FP32 \[2, 3\] needs 24 bytes, got 20"):
        Tensor("x", DataType.FP32, (2, 3), bytes(20))
    with pytest.raises(InvalidArgumentError, match="negative"):
        Tensor("x", DataType.FP32, (-1,), b"")


def test_tensor_spec_accepts_variable_sizes_only_where_declared() -> None:
    spec = TensorSpec("x", DataType.FP32, (-1, 3))
    assert spec.accepts((5, 3))
    assert not spec.accepts((5, 4))
    assert not spec.accepts((5,))


def test_region_and_device_refuse_nonsense() -> None:
    with pytest.raises(InvalidArgumentError, match="empty"):
        Region(0, 0, 0, 5)
    with pytest.raises(InvalidArgumentError, match="negative"):
        DeviceSpec(type="d", count=-1)

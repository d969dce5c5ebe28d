"""GRNN.LSTM and GRNN.GRU are torch's layers to whoever calls them."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import nexus.backend.kernels.grnn as GRNN  # noqa: N812 - as users import it
from nexus.core.errors import InvalidArgumentError

PAIRS = [(torch.nn.LSTM, GRNN.LSTM), (torch.nn.GRU, GRNN.GRU)]
ATOL = 2e-6


def pair(kind: str, *sizes: int, **options: Any) -> tuple[torch.nn.RNNBase, "GRNN.LSTM | GRNN.GRU"]:
    torch.manual_seed(5)
    theirs: torch.nn.RNNBase
    if kind == "lstm":
        theirs = torch.nn.LSTM(*sizes, **options).eval().requires_grad_(False)
        return theirs, GRNN.LSTM.from_torch(theirs)
    theirs = torch.nn.GRU(*sizes, **options).eval().requires_grad_(False)
    return theirs, GRNN.GRU.from_torch(theirs)


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if expected is None:
        return
    if isinstance(expected, Tensor):
        torch.testing.assert_close(found, expected, rtol=0, atol=ATOL)
        return
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


def states_of(kind: str, *size: int) -> Any:
    h, c = torch.randn(2, *size)
    return (h, c) if kind == "lstm" else h


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_grnn_answers_as_torch_on_batches(
    kind: str, with_states: bool, bidirectional: bool, batch_first: bool
) -> None:
    theirs, ours = pair(
        kind, 5, 9, 2, batch_first=batch_first, bidirectional=bidirectional, dropout=0.5
    )
    x = torch.randn(4, 6, 5)
    batch = 4 if batch_first else 6
    hx = states_of(kind, 4 if bidirectional else 2, batch, 9) if with_states else None
    assert_same(ours(x, hx), theirs(x, hx))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_grnn_answers_as_torch_on_one_sequence_without_batch(kind: str) -> None:
    for batch_first in (False, True):
        theirs, ours = pair(kind, 5, 9, batch_first=batch_first, bias=False)
        x = torch.randn(7, 5)
        assert_same(ours(x), theirs(x))
        hx = states_of(kind, 1, 9)
        assert_same(ours(x, hx), theirs(x, hx))


@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_grnn_answers_as_torch_on_packed_sequences(kind: str, with_states: bool) -> None:
    theirs, ours = pair(kind, 5, 9, 2, bidirectional=True)
    x = torch.randn(7, 4, 5)
    hx = states_of(kind, 4, 4, 9) if with_states else None
    unsorted = pack_padded_sequence(x, torch.tensor([3, 7, 1, 7]), enforce_sorted=False)
    in_order = pack_sequence([torch.randn(n, 5) for n in (6, 4, 4, 1)])
    for packed in (unsorted, in_order):
        found, state = ours(packed, hx)
        expected, wanted = theirs(packed, hx)
        assert isinstance(found, PackedSequence)
        assert_same(tuple(found), tuple(expected))
        assert_same(state, wanted)


def test_grnn_serves_calls_by_the_runner_and_not_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ours = pair("lstm", 5, 9)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("torch ran")

    monkeypatch.setattr(torch.nn.LSTM, "forward", forbidden)
    ours(torch.randn(3, 2, 5))
    ours.train()(torch.randn(3, 2, 5))  # nothing in it depends on the mode
    with pytest.raises(AssertionError, match="torch ran"):
        ours.double()(torch.randn(3, 2, 5).double())


@pytest.mark.parametrize(
    ("x", "hx"),
    [
        (torch.zeros(3, 2, 4), None),
        (torch.zeros(2, 3, 2, 5), None),
        (torch.zeros(3, 2, 5), (torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))),
        (torch.zeros(3, 2, 5), (torch.zeros(1, 2, 9), torch.zeros(1, 3, 9))),
        (torch.zeros(3, 2, 5), (torch.zeros(2, 9), torch.zeros(2, 9))),
        (torch.zeros(3, 5), (torch.zeros(1, 1, 9), torch.zeros(1, 1, 9))),
    ],
)
def test_grnn_raises_what_torch_raises(x: Tensor, hx: Any) -> None:
    theirs, ours = pair("lstm", 5, 9)
    with pytest.raises((RuntimeError, ValueError)) as expected:
        theirs(x, hx)
    with pytest.raises(type(expected.value)) as found:
        ours(x, hx)
    assert str(found.value) == str(expected.value)


def test_grnn_leaves_other_types_to_torch() -> None:
    theirs, ours = pair("gru", 5, 9)
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    assert torch.equal(ours.double()(x)[0], theirs.double()(x)[0])
    assert_same(ours.float()(x.float()), theirs.float()(x.float()))


def test_grnn_leaves_gradients_to_torch_and_says_so_once() -> None:
    ours = GRNN.GRU(5, 9)
    x = torch.randn(3, 2, 5)
    with pytest.warns(UserWarning, match=r"torch's own GRU ran.* gradients are recorded") as seen:
        y, _ = ours(x)
    ours(x)[0].sum().backward()  # another warning would be an error here
    assert y.requires_grad
    assert seen[0].filename == __file__
    assert ours.weight_ih_l0.grad is not None
    with torch.inference_mode():
        assert_same(ours(x)[0], y.detach())
    assert ours.runner is not None


def test_grnn_leaves_dropout_to_torch_and_says_so() -> None:
    ours = GRNN.LSTM(5, 9, 2, dropout=0.5).requires_grad_(False)
    x = torch.randn(3, 2, 5)
    with pytest.warns(UserWarning, match="dropout is in effect"):
        first, _ = ours(x)
    assert not torch.equal(first, ours(x)[0])


def test_grnn_sees_weights_that_changed() -> None:
    theirs, ours = pair("lstm", 5, 9)
    x = torch.randn(3, 2, 5)
    ours(x)
    with torch.no_grad():
        theirs.get_parameter("weight_hh_l0").mul_(3)  # shared with ours
    assert_same(ours(x), theirs(x))
    ours.weight_hh_l0 = torch.nn.Parameter(torch.zeros(36, 9), requires_grad=False)
    other = torch.nn.LSTM(5, 9).requires_grad_(False)
    other.load_state_dict(ours.state_dict())
    assert_same(ours(x), other(x))


def test_grnn_state_dicts_are_torchs() -> None:
    theirs = torch.nn.LSTM(5, 9, 2, bidirectional=True)
    ours = GRNN.LSTM(5, 9, 2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 2, 5)
    with torch.no_grad():
        assert_same(ours(x), theirs(x))
    assert repr(ours) == repr(theirs)


def test_grnn_copies_are_independent() -> None:
    _, ours = pair("gru", 5, 9)
    x = torch.randn(3, 2, 5)
    before, _ = ours(x)
    twin = copy.deepcopy(ours)
    torch.nn.init.zeros_(twin.get_parameter("weight_ih_l0"))
    assert torch.equal(ours(x)[0], before)
    assert not torch.equal(twin(x)[0], before)


def test_grnn_from_torch_keeps_parameters_mode_and_gradients() -> None:
    theirs = torch.nn.LSTM(5, 9)
    ours = GRNN.LSTM.from_torch(theirs)
    assert ours.training
    assert ours.weight_ih_l0 is theirs.weight_ih_l0
    assert ours.weight_ih_l0.requires_grad
    assert ours.runner is not None


def test_grnn_refuses_what_it_cannot_be() -> None:
    with pytest.raises(InvalidArgumentError, match="proj_size"):
        GRNN.LSTM(5, 9, proj_size=3)
    with pytest.raises(InvalidArgumentError, match="proj_size"):
        GRNN.LSTM.from_torch(torch.nn.LSTM(5, 9, proj_size=3))
    with pytest.raises(InvalidArgumentError, match=r"GRNN\.LSTM cannot take over a GRU"):
        GRNN.LSTM.from_torch(torch.nn.GRU(5, 9))
    with pytest.raises(InvalidArgumentError, match="'fp8' is not one of fp32, fp24, bf16, fp16"):
        GRNN.GRU(5, 9, precision="fp8")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # torch's own layers raise it, too
def test_grnn_is_torchs_when_traced() -> None:
    theirs, ours = pair("lstm", 5, 9)
    x = torch.randn(3, 2, 5)
    with pytest.warns(DeprecationWarning, match="torch.export"):
        traced = torch.jit.trace(ours, (x,))  # type: ignore[no-untyped-call]
    other = torch.randn(3, 2, 5)
    assert_same(traced(other), theirs(other))


def test_grnn_sees_weights_whose_data_was_replaced() -> None:
    theirs, ours = pair("gru", 5, 9)
    x = torch.randn(3, 2, 5)
    ours(x)
    theirs.get_parameter("weight_hh_l0").data = torch.randn(27, 9)  # no version counts this
    assert_same(ours(x), theirs(x))

"""accelerate: the zoo's recurrent networks answer as before, and nothing else changes."""

import pytest
import torch

from nexus.backend.kernels import grnn
from nexus.backend.kernels.accelerate import accelerate
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.zoo.networks import build_network

RECOGNISER = "package:legere/legere/data/model.pt"
"""The text recogniser of the demo."""


class Twice(torch.nn.Module):
    """One layer under two names, and inside a container."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.GRU(4, 4)
        self.rest = torch.nn.Sequential(torch.nn.Linear(4, 4))
        self.rest.append(self.first)
        self.again = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.first(self.rest[0](x))
        result: torch.Tensor = self.again(y)[0]
        return result


def network_of(name: str, weights: str = "", **parameters: str) -> torch.nn.Module:
    return build_network(
        Model(
            name="m",
            engine=EngineKind.TORCH,
            network=name,
            weights=weights,
            parameters=parameters,
        )
    )


@pytest.mark.parametrize(
    ("name", "weights", "parameters", "size", "layer"),
    [
        ("lstm", "", {"layers": "3", "hidden": "40"}, (3, 7, 16), "recurrent"),
        ("crnn", RECOGNISER, {}, (2, 1, 32, 96), "rnn"),
    ],
)
def test_accelerate_keeps_what_a_network_of_the_zoo_answers(
    name: str, weights: str, parameters: dict[str, str], size: tuple[int, ...], layer: str
) -> None:
    torch.manual_seed(2)
    network = network_of(name, weights, **parameters)
    inputs = torch.randn(size)
    with torch.inference_mode():
        expected = network(inputs)
        done = accelerate(network)
        found = network(inputs)
    assert [one.name for one in done.swapped] == [layer]
    assert done.swapped[0].layer.runner is not None
    assert done.weight_bytes > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_accelerate_swaps_a_shared_layer_once() -> None:
    network = Twice().requires_grad_(False)
    x = torch.randn(3, 2, 4)
    expected, names = network(x), list(network.state_dict())
    done = accelerate(network)
    assert [one.name for one in done.swapped] == ["first", "rest.1", "again"]
    assert network.first is network.again
    assert network.rest[1] is network.first
    assert isinstance(network.first, grnn.GRU)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network(x), expected, rtol=0, atol=2e-6)
    assert done.swapped[0].layer.runner is not None
    assert done.weight_bytes == done.swapped[0].layer.runner.weight_bytes


def test_accelerate_says_what_it_leaves() -> None:
    class OfTheirOwn(torch.nn.GRU):
        pass

    hooked = torch.nn.GRU(4, 4)
    hooked.register_forward_hook(lambda *_: None)
    network = torch.nn.ModuleDict(
        {
            "plain": torch.nn.RNN(4, 4),
            "cell": torch.nn.LSTMCell(4, 4),
            "projected": torch.nn.LSTM(4, 4, proj_size=2),
            "special": OfTheirOwn(4, 4),
            "hooked": hooked,
            "done": grnn.LSTM(4, 4),
        }
    )
    done = accelerate(network)
    assert done.swapped == ()
    assert {one.name: one.why for one in done.left} == {
        "plain": "a RNN is not exactly a torch.nn.LSTM or GRU",
        "cell": "a LSTMCell is not exactly a torch.nn.LSTM or GRU",
        "projected": "it has projections (proj_size)",
        "special": "a OfTheirOwn is not exactly a torch.nn.LSTM or GRU",
        "hooked": "hooks are registered on it",
        "done": "GRNN serves it already",
    }


def test_accelerate_names_what_serves_each_layer() -> None:
    (swapped,) = accelerate(network_of("lstm")).swapped
    assert str(swapped).startswith("recurrent: LSTM(16, 64, batch_first=True) by ")


def test_accelerate_refuses_a_bare_layer() -> None:
    with pytest.raises(InvalidArgumentError, match=r"from_torch\(layer\)"):
        accelerate(torch.nn.LSTM(4, 4))

"""Networks: shapes, batch rows independent of each other, folding without a change of results."""

import copy

import pytest
import torch

from nexus.core.errors import InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.zoo.convolution import for_inference, unit
from nexus.zoo.networks import build_network

INPUTS = {
    "mlp": (16,),
    "lstm": (7, 16),
    "crnn": (1, 32, 64),
    "mobilenet_v2": (3, 64, 64),
    "efficientnet_lite0": (3, 64, 64),
    "yolov3_tiny": (3, 64, 96),
}
OUTPUTS = {
    "mlp": [(4,)],
    "lstm": [(4,)],
    "crnn": [(16, 122)],
    "mobilenet_v2": [(1280,)],
    "efficientnet_lite0": [(1000,)],
    "yolov3_tiny": [(3 * (2 * 3 + 4 * 6), 4), (3 * (2 * 3 + 4 * 6), 80)],
}


def torch_model(network: str, **parameters: str) -> Model:
    return Model(name="m", engine=EngineKind.TORCH, network=network, parameters=parameters)


def outputs_of(network: torch.nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    result = network(inputs)
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_networks_rows_of_a_batch_do_not_mix(name: str) -> None:
    torch.manual_seed(1)
    network = build_network(torch_model(name))
    batch = torch.randn(3, *INPUTS[name])
    together = outputs_of(network, batch)
    assert [tuple(output.shape[1:]) for output in together] == OUTPUTS[name]
    for row in range(3):
        alone = outputs_of(network, batch[row : row + 1])
        for one, all_rows in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_rows[row], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_networks_toy_weights_follow_from_the_seed(name: str) -> None:
    batch = torch.ones(1, *INPUTS[name])
    first, again, other = (
        build_network(torch_model(name, seed=seed))(batch) for seed in ("7", "7", "8")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_networks_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_network(torch_model("lstm"))
    assert torch.equal(torch.rand(1), expected)


def test_networks_are_built_for_inference() -> None:
    network = build_network(torch_model("mlp"))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("value", ["0", "many", "99999999"])
def test_networks_malformed_parameter_is_named(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"model 'm': parameter hidden is .*1\.\.4096"):
        build_network(torch_model("lstm", hidden=value))


def test_networks_folding_keeps_results() -> None:
    torch.manual_seed(0)
    block = torch.nn.Sequential(unit(3, 8, 3, 2, activation=torch.nn.ReLU()), unit(8, 4, 1))
    images = torch.randn(4, 3, 16, 16)
    block(images)  # in training mode: moves the running statistics away from 0 and 1
    expected = copy.deepcopy(block).eval()(images)
    folded = for_inference(block)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-5)

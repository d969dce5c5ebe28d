"""Finding weight files, and refusing those that would run code."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nexus.core.errors import InvalidArgumentError, NotFoundError
from nexus.zoo.darknet import HEADER_BYTES, load_darknet
from nexus.zoo.weights import load_into, load_state, resolve
from nexus.zoo.yolov3_tiny import YoloV3Tiny


class Exploit:
    """Unpickling this would call print."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from a weights file ran",)


def test_weights_package_file_is_found_without_import() -> None:
    path = resolve("package:pillow/PIL/Image.py")
    assert path.name == "Image.py"
    assert path.is_file()


def test_weights_missing_distribution_names_the_pip_command() -> None:
    with pytest.raises(NotFoundError, match="pip install --no-deps no-such-distribution"):
        resolve("package:no-such-distribution/model.pt")


def test_weights_missing_file_in_distribution_names_both() -> None:
    with pytest.raises(NotFoundError, match=r"pillow .* holds no file 'PIL/nothing.pt'"):
        resolve("package:pillow/PIL/nothing.pt")


@pytest.mark.parametrize("weights", ["package:pillow", "package:/x", "package:pillow/../secret"])
def test_weights_malformed_package_form_is_refused(weights: str) -> None:
    with pytest.raises(InvalidArgumentError, match="DISTRIBUTION/PATH"):
        resolve(weights)


def test_weights_path_is_relative_to_root(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"x")
    assert resolve("w.pt", tmp_path) == tmp_path / "w.pt"
    with pytest.raises(NotFoundError, match="does not exist"):
        resolve("other.pt", tmp_path)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_weights_state_survives_a_round_trip(tmp_path: Path, name: str) -> None:
    state = {"weight": torch.arange(6.0).reshape(2, 3)}
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path)
    assert torch.equal(load_state(path)["weight"], state["weight"])


def test_weights_checkpoint_entry_is_taken_by_key(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"model": {"a": torch.ones(1)}, "step": 3}, path)
    assert list(load_state(path, key="model")) == ["a"]
    with pytest.raises(InvalidArgumentError, match="no state dict"):
        load_state(path)


def test_weights_pickle_with_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"weight": Exploit()}, path)
    with pytest.raises(InvalidArgumentError, match=r"evil\.pt cannot be read"):
        load_state(path)
    path.write_bytes(pickle.dumps(Exploit(), protocol=2))
    with pytest.raises(InvalidArgumentError, match=r"evil\.pt cannot be read"):
        load_state(path)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all, but long enough to look like some"])
def test_weights_garbage_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        load_state(path)


def test_weights_that_do_not_fit_name_the_network() -> None:
    network = torch.nn.Linear(2, 2)
    with pytest.raises(InvalidArgumentError, match=r"w\.pt do not fit the network Linear"):
        load_into(network, {"weight": torch.ones(3, 3)}, Path("w.pt"))


def test_weights_darknet_file_fills_layers_in_order(tmp_path: Path) -> None:
    layers = YoloV3Tiny().layers_in_file_order[:1]
    path = tmp_path / "one.weights"
    numbers = torch.arange(16 * 4 + 16 * 27, dtype=torch.float32)
    path.write_bytes(bytes(HEADER_BYTES) + numbers.numpy().tobytes())
    load_darknet(layers, path)
    state = layers[0].state_dict()
    assert state["norm.bias"][0] == 0
    assert state["norm.weight"][0] == 16
    assert state["norm.running_mean"][0] == 32
    assert state["norm.running_var"][0] == 48
    assert state["conv.weight"].flatten()[-1] == numbers[-1]


def test_weights_darknet_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.weights"
    path.write_bytes(bytes(100))
    with pytest.raises(InvalidArgumentError, match="100 bytes, but the layers of this network"):
        load_darknet(YoloV3Tiny().layers_in_file_order, path)

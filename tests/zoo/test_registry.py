"""Names to code: built-in entries, plugins by entry point, and clear errors."""

from pathlib import Path

import pytest

from nexus.core.errors import AlreadyExistsError, NotFoundError
from nexus.core.model import EngineKind, Model
from nexus.zoo.handlers import HANDLERS, handler_for
from nexus.zoo.networks import NETWORKS, build_network


def install_plugin(site: Path, distribution: str, entry: str) -> None:
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nexus.handlers]\n{entry}\n")


@pytest.mark.parametrize("name", HANDLERS.names())
def test_registry_every_handler_can_be_imported(name: str) -> None:
    assert callable(HANDLERS.load(name))


@pytest.mark.parametrize("name", NETWORKS.names())
def test_registry_every_network_can_be_imported(name: str) -> None:
    assert callable(NETWORKS.load(name))


def test_registry_unknown_name_lists_what_there_is() -> None:
    model = Model(name="m", engine=EngineKind.TORCH, network="resnet5000")
    with pytest.raises(NotFoundError, match=r"network 'resnet5000' .* crnn, .*nexus\.networks"):
        build_network(model)


def test_registry_plugin_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(tmp_path, "plugin-one", "mine = nexus.zoo.tensor_handler:TensorHandler")
    monkeypatch.syspath_prepend(tmp_path)
    model = Model(name="m", engine=EngineKind.EMULATED, handler="mine")
    assert type(handler_for(model)).__name__ == "TensorHandler"
    assert "mine" in HANDLERS.names()


def test_registry_two_plugins_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin(tmp_path, "plugin-one", "mine = nexus.zoo.tensor_handler:TensorHandler")
    install_plugin(tmp_path, "plugin-two", "mine = nexus.zoo.image_embedder:ImageEmbedder")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AlreadyExistsError, match="ImageEmbedder, nexus"):
        HANDLERS.load("mine")

"""The CPU extension's type stub against the signatures that the compiled module reports."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

kernels = pytest.importorskip(
    "nexus_cpu_kernels", reason="the CPU kernels are not built: make cpu-kernels"
)
STUB = Path(__file__).parents[2] / "backend/cpu_kernels/nexus_cpu_kernels/_native.pyi"
CLASSES = ("Plan", "Pool", "Slots", "Stack")
UNTYPED = ("__new__",)
"""nanobind's half of a constructor; its arguments are those of ``__init__``."""


def declared(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {one.name: one for one in body if isinstance(one, ast.FunctionDef)}


def stub_functions(name: str) -> dict[str, ast.FunctionDef]:
    """Of a class, or with an empty name of the module."""
    body = ast.parse(STUB.read_text(encoding="utf-8")).body
    if not name:
        return declared(body)
    (found,) = (one for one in body if isinstance(one, ast.ClassDef) and one.name == name)
    return declared(found.body)


def real_functions(owner: Any) -> Iterator[tuple[str, ast.FunctionDef]]:
    for name, member in vars(owner).items():
        signatures = getattr(getattr(member, "fget", member), "__nb_signature__", None)
        if signatures and name not in UNTYPED:
            (signature,) = signatures
            yield name, parsed(name, signature[0], signature[2] or ())


def parsed(name: str, text: str, defaults: tuple[Any, ...]) -> ast.FunctionDef:
    r"""A signature of nanobind's, which writes ``\0`` for the first default."""
    text = re.sub(r"ndarray\[[^]]*\]", "ndarray", text.replace("def (", f"def {name}("))
    text = re.sub(r"\\(\d+)", lambda found: repr(defaults[int(found[1])]), text)
    (function,) = ast.parse(f"{text}: ...").body
    assert isinstance(function, ast.FunctionDef)
    return function


def normal(function: ast.FunctionDef, owner: str) -> str:
    """Arguments, kinds, defaults and types, in the words that both sides share."""
    text = f"({ast.unparse(function.args)}) -> {ast.unparse(function.returns or ast.Constant(0))}"
    text = re.sub(r"nexus_cpu_kernels\._native\.|collections\.abc\.", "", text)
    text = re.sub(r"\b(Floats|Integers)\b", "ndarray", text).replace("*args: object", "*args")
    return text.replace("-> tuple[str, ...]", "-> tuple").replace("Self", owner)


@pytest.mark.parametrize("owner", ["", *CLASSES])
def test_stub_says_of_each_function_what_the_module_says(owner: str) -> None:
    module = kernels._native
    real = dict(real_functions(getattr(module, owner) if owner else module))
    stub = stub_functions(owner)
    assert real
    assert {name: normal(one, owner) for name, one in stub.items()} == {
        name: normal(one, owner) for name, one in real.items()
    }


@pytest.mark.parametrize("owner", CLASSES)
def test_stub_has_the_properties_of_the_module(owner: str) -> None:
    found = {
        name for name, member in vars(getattr(kernels, owner)).items() if type(member) is property
    }
    assert found == {name for name, one in stub_functions(owner).items() if one.decorator_list}


def test_stub_exports_what_the_package_exports() -> None:
    assert sorted(kernels.__all__) == sorted([*CLASSES, "features"])

"""Class names, by class number: lists that ship with the zoo (see labels/README.md)."""

from functools import cache
from importlib import resources


@cache
def read_labels(name: str) -> tuple[str, ...]:
    """The names of ``coco`` (80) or ``imagenet`` (1000)."""
    text = resources.files("nexus.zoo").joinpath("labels", f"{name}.txt").read_text("utf-8")
    return tuple(text.splitlines())

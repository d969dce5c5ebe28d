"""YAML values that know where they stand: every error names the file, the line and the key.

Used for scenarios and for resource documents. Nothing but plain data is built (no tags), an unknown
or repeated key is an error, and the size of a document is bounded.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import yaml

from nexus.core.errors import DocumentError

DOCUMENT_BYTES_MAX = 4_000_000
VALUES_MAX = 200_000


@dataclass(frozen=True, slots=True)
class YamlValue:
    """One value of a document: ``path`` is its key, written ``sessions[0].slo_ms``.

    ``key_line`` is where the key stands, if there is one: a list may begin on the next line.
    """

    node: yaml.Node
    source: str
    path: str = ""
    key_line: int = 0

    @property
    def line(self) -> int:
        """The line of the key, or of the value where there is none, from 1."""
        return self.key_line or _line(self.node)

    def error(self, message: str, *, reason: str = "") -> DocumentError:
        """A DocumentError in the form ``file:line: key: message``."""
        key = f"{self.path}: " if self.path else ""
        return DocumentError(f"{self.source}:{self.line}: {key}{message}", reason=reason)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def fields(self, known: Sequence[str], required: Sequence[str] = ()) -> dict[str, "YamlValue"]:
        """The entries of a mapping; raise DocumentError on unknown, repeated or missing keys."""
        entries = dict(self.entries())
        for key, value in entries.items():
            if key not in known:
                raise value.error(f"unknown key; the keys are {', '.join(known)}")
        for key in required:
            if key not in entries:
                raise self.error(f"key {key!r} is missing")
        return entries

    def entries(self) -> Iterator[tuple[str, "YamlValue"]]:
        """The entries of a mapping with free keys; raise DocumentError on a repeated one."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"expected a mapping, got {self._kind()}")
        seen: set[str] = set()
        for key_node, value_node in self.node.value:
            key = YamlValue(key_node, self.source, self.path).scalar_text()
            path = f"{self.path}.{key}" if self.path else key
            value = YamlValue(value_node, self.source, path, _line(key_node))
            if key in seen:
                raise value.error("the key is given twice")
            seen.add(key)
            yield key, value

    def items(self) -> list["YamlValue"]:
        """The elements of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"expected a list, got {self._kind()}")
        return [
            YamlValue(node, self.source, f"{self.path}[{index}]")
            for index, node in enumerate(self.node.value)
        ]

    def texts(self) -> tuple[str, ...]:
        """A list of strings, or one string as a list of one."""
        if isinstance(self.node, yaml.ScalarNode):
            return (self.text(),)
        return tuple(item.text() for item in self.items())

    def scalar_text(self) -> str:
        """Any scalar as it is written."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error(f"expected one value, got {self._kind()}")
        return str(self.node.value)

    def text(self) -> str:
        """A string that is not empty."""
        text = self.scalar_text()
        if not text or self._resolved_tag() == "null":
            raise self.error("expected text, got nothing")
        return text

    def number(self, *, low: float = 0.0, high: float = math.inf, above: bool = False) -> float:
        """A finite number in low..high (``above``: greater than ``low``)."""
        text = self.scalar_text()
        try:
            number = float(text)
        except ValueError:
            raise self.error(f"expected a number, got {text!r}") from None
        if not math.isfinite(number):
            raise self.error(f"{text} is not a finite number")
        if number < low or number > high or (above and number == low):
            bound = f"greater than {low:g}" if above else f"at least {low:g}"
            top = f" and at most {high:g}" if high < math.inf else ""
            raise self.error(f"{text} must be {bound}{top}")
        return number

    def integer(self, *, low: int = 0, high: int = 2**63 - 1) -> int:
        """A whole number in low..high."""
        number = self.number(low=low, high=high)
        if number != int(number):
            raise self.error(f"expected a whole number, got {self.scalar_text()}")
        return int(number)

    def choice(self, known: Sequence[str]) -> str:
        """One of the words in ``known``."""
        text = self.text()
        if text not in known:
            raise self.error(f"{text!r} is not one of {', '.join(known)}")
        return text

    def plain(self) -> object:
        """The value as plain data, for keys whose form is free."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, value in self.entries()}
        if isinstance(self.node, yaml.SequenceNode):
            return [item.plain() for item in self.items()]
        return _PLAIN.get(self._resolved_tag(), str)(self.scalar_text())

    def _resolved_tag(self) -> str:
        return str(self.node.tag).rsplit(":", maxsplit=1)[-1]

    def _kind(self) -> str:
        if isinstance(self.node, yaml.ScalarNode):
            return f"{self.node.value!r}" if self.node.value else "nothing"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a mapping"


def parse_yaml(text: str, source: str) -> list[YamlValue]:
    """The documents of a YAML stream; raise DocumentError when it is none, or too large."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise DocumentError(f"{source}: larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        composed = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        raise DocumentError(f"{source}:{line}: not YAML: {problem}") from error
    nodes = [node for node in composed if not _empty(node)]
    for node in nodes:
        if _size(node) > VALUES_MAX:
            raise DocumentError(f"{source}: more than {VALUES_MAX} values, aliases expanded")
    return [YamlValue(node, source) for node in nodes]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and not node.value)


def _size(root: yaml.Node) -> int:
    """How many values a document has with its aliases expanded, counted no further than needed."""
    count, waiting = 0, [root]
    while waiting and count <= VALUES_MAX:
        node = waiting.pop()
        count += 1
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += (part for pair in node.value for part in pair)
    return count


def _boolean(text: str) -> bool:
    return text.lower() in {"true", "yes", "on"}


_PLAIN: dict[str, Callable[[str], object]] = {
    "int": int,
    "float": float,
    "bool": _boolean,
    "null": lambda _: None,
}

"""Reading a small text file line by line, with errors that name the file and the line."""

from collections.abc import Iterator
from contextlib import contextmanager

from nexus.core.errors import DocumentError, InvalidArgumentError


class TextLines:
    """The lines of one file, taken in order. Spaces at both ends of a line do not count."""

    def __init__(self, text: str, source: str) -> None:
        """``source`` is how errors call the file."""
        self._lines = [line.strip() for line in text.rstrip().splitlines()]
        self._source = source
        self._taken = 0

    def more(self) -> bool:
        """Whether a line is left."""
        return self._taken < len(self._lines)

    def peek(self) -> str:
        """The next line, not taken; empty at the end."""
        return self._lines[self._taken] if self.more() else ""

    def take(self) -> str:
        """The next line; empty at the end."""
        line = self.peek()
        self._taken += 1
        return line

    def expect(self, wanted: str) -> None:
        """Take a line that must be ``wanted``."""
        line = self.take()
        if line != wanted:
            raise self.malformed(f"expected {wanted!r}, got {line!r}")

    def expect_words(self, wanted: tuple[str, ...]) -> None:
        """Take a line that must consist of these words."""
        line = self.take()
        if tuple(line.split()) != wanted:
            raise self.malformed(f"expected the columns {' '.join(wanted)!r}, got {line!r}")

    def words(self, count: int, separator: str | None = None) -> list[str]:
        """Take a line of ``count`` words; ``separator`` None is white space."""
        line = self.take()
        words = [word.strip() for word in line.split(separator)]
        if len(words) != count:
            raise self.malformed(f"expected {count} columns, got {line!r}")
        return words

    def number(self, text: str, name: str) -> int:
        """A whole number that is not negative."""
        if not text.isascii() or not text.isdigit():
            raise self.malformed(f"{name}: {text!r} is not a whole number >= 0")
        return int(text)

    def malformed(self, message: str) -> DocumentError:
        """An error about the line taken last."""
        line = min(max(self._taken, 1), len(self._lines) + 1)
        return DocumentError(f"{self._source}:{line}: {message}", reason="malformed_profile")

    @contextmanager
    def naming_the_line(self) -> Iterator[None]:
        """Turn an InvalidArgumentError into one about the line taken last."""
        try:
            yield
        except InvalidArgumentError as error:
            raise self.malformed(error.message) from error

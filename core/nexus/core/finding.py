"""What a model saw: findings with a label, a score and a region of the frame."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in pixels of the original frame; the corner (x, y) is top left."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on an empty rectangle."""
        if self.width <= 0 or self.height <= 0:
            raise InvalidArgumentError(
                f"region {self.width}x{self.height} at ({self.x}, {self.y}) is empty",
                reason="empty_region",
            )


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: an object, a class or a line of text (then ``label`` is the text)."""

    label: str
    score: float
    region: Region | None = None

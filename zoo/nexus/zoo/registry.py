"""Names to code: what the zoo ships, plus what installed plugins add by entry points.

A plugin is any installed distribution that declares, in its own metadata,

    [project.entry-points."nexus.networks"]
    my_network = "my_package.networks:build"

Built-in entries are ``module:attribute`` strings in the same form, imported when first asked for,
so that a process which serves one model pays for the imports of one model.
"""

import importlib
from collections.abc import Mapping
from importlib import metadata

from nexus.core.errors import AlreadyExistsError, NotFoundError


class Registry:
    """Looks a name up among the built-in entries, then among the plugins of one group."""

    def __init__(self, group: str, kind: str, builtin: Mapping[str, str]) -> None:
        """``group`` is the entry-point group; ``kind`` the word used in error messages."""
        self._group = group
        self._kind = kind
        self._builtin = dict(builtin)

    def names(self) -> tuple[str, ...]:
        """Every name that can be loaded, sorted."""
        plugins = (point.name for point in metadata.entry_points(group=self._group))
        return tuple(sorted({*self._builtin, *plugins}))

    def load(self, name: str) -> object:
        """The object registered under ``name``.

        Raises:
            NotFoundError: nothing has this name; the message lists the names there are.
            AlreadyExistsError: two distributions claim it, so neither can be trusted to be meant.
        """
        if name in self._builtin:
            module, _, attribute = self._builtin[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        points = tuple(metadata.entry_points(group=self._group, name=name))
        if not points:
            raise NotFoundError(
                f"{self._kind} {name!r} is not in the zoo; there are {', '.join(self.names())}. "
                f"A plugin adds one by an entry point in the group {self._group!r}",
                reason=f"unknown_{self._kind}",
            )
        if len(points) > 1:
            owners = ", ".join(sorted(point.value for point in points))
            raise AlreadyExistsError(
                f"{self._kind} {name!r} is declared by several plugins ({owners}); remove all but "
                "one of them",
                reason=f"ambiguous_{self._kind}",
            )
        return points[0].load()

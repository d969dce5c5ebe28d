"""What may be declared and what may be removed: the catalogue never refers to what is not there.

Pure: a catalogue and a wish to a catalogue, or an error that names the offender.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from nexus.core.cluster import Catalogue
from nexus.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    RefusedError,
)
from nexus.core.model import Model
from nexus.core.names import require_name
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.session import Session
from nexus.rpc.convert_control import Declared, kind_of, name_of
from nexus.scheduler.prefix_groups import PREFIX_PARAMETER

RESOURCES_MAX = 10_000
"""Of each kind; one more is refused."""
_SESSION_NAME_EXTRA = "@"

T = TypeVar("T", Model, Session, Query, Profile)


def resources_of(catalogue: Catalogue, kind: str) -> tuple[Declared, ...]:
    """All resources of a kind: model, session, query or profile."""
    by_kind: dict[str, tuple[Declared, ...]] = {
        "model": catalogue.models,
        "session": catalogue.sessions,
        "query": catalogue.queries,
        "profile": catalogue.profiles,
    }
    return by_kind[kind]


def find(catalogue: Catalogue, kind: str, name: str) -> Declared:
    """One resource; raise NotFoundError when there is none of that name."""
    for resource in resources_of(catalogue, kind):
        if name_of(resource) == name:
            return resource
    raise NotFoundError(f"{kind} {name!r} is not declared", reason=f"unknown_{kind}")


def with_resources(catalogue: Catalogue, resources: Sequence[Declared]) -> Catalogue:
    """The catalogue with resources added or replaced.

    Raises:
        InvalidArgumentError: a resource names a model that is not there, or two clash.
        RefusedError: there would be too many of a kind.
    """
    merged = replace(
        catalogue,
        models=_merged(catalogue.models, _only(Model, resources)),
        sessions=_merged(catalogue.sessions, _only(Session, resources)),
        queries=_merged(catalogue.queries, _only(Query, resources)),
        profiles=_merged(catalogue.profiles, _only(Profile, resources)),
    )
    _require_models(merged, resources)
    _require_alike_variants(merged)
    _require_distinct_names(merged)
    return merged


def require_removable(catalogue: Catalogue, kind: str, name: str) -> None:
    """Raise NotFoundError when there is no such resource, FailedPreconditionError when used."""
    find(catalogue, kind, name)
    users = _users(catalogue, name) if kind == "model" else []
    if users:
        raise FailedPreconditionError(
            f"model {name!r} is in use by {', '.join(users)}; delete those first", reason="in_use"
        )


def _users(catalogue: Catalogue, model: str) -> list[str]:
    sessions = [f"session {s.name}" for s in catalogue.sessions if model in (s.model, *s.variants)]
    queries = [
        f"query {query.name}"
        for query in catalogue.queries
        if any(stage.model == model for stage in query.stages)
    ]
    return sessions + queries


def _merged(present: tuple[T, ...], declared: Iterable[T]) -> tuple[T, ...]:
    by_name = {name_of(resource): resource for resource in present}
    by_name.update((name_of(resource), resource) for resource in declared)
    if len(by_name) > RESOURCES_MAX:
        kind = kind_of(next(iter(by_name.values())))
        raise RefusedError(
            f"{len(by_name)} resources of kind {kind} are more than {RESOURCES_MAX}",
            reason="too_many_resources",
        )
    return tuple(by_name[name] for name in sorted(by_name))


def _only(cls: type[T], resources: Iterable[Declared]) -> list[T]:
    return [resource for resource in resources if isinstance(resource, cls)]


def _require_models(merged: Catalogue, resources: Iterable[Declared]) -> None:
    models = {model.name for model in merged.models}
    # A prefix group is no model, but batches of it take a time of their own.
    groups = {model.parameters.get(PREFIX_PARAMETER) for model in merged.models}
    for resource in resources:
        known = models | groups if isinstance(resource, Profile) else models
        for model, where in _models_named(resource):
            if model not in known:
                raise InvalidArgumentError(
                    f"{kind_of(resource)} {name_of(resource)!r}: {where}model {model!r} is not "
                    "declared",
                    reason="unknown_model",
                )


def _models_named(resource: Declared) -> list[tuple[str, str]]:
    """The models a resource refers to, each with where it does."""
    if isinstance(resource, Query):
        return [(stage.model, f"stage {stage.name!r}: ") for stage in resource.stages]
    if isinstance(resource, Session):
        return [(resource.model, ""), *((model, "variant: ") for model in resource.variants)]
    return [] if isinstance(resource, Model) else [(resource.model, "")]


def _require_alike_variants(merged: Catalogue) -> None:
    """A variant answers requests meant for the model: it must take and give the same."""
    models = {model.name: model for model in merged.models}
    for session in merged.sessions:
        own = models[session.model]
        for name in session.variants:
            variant = models[name]
            for what in ("handler", "inputs", "outputs"):
                if getattr(own, what) != getattr(variant, what):
                    raise InvalidArgumentError(
                        f"session {session.name!r}: variant {name!r} has other {what} than model "
                        f"{own.name!r}; it could not answer in its place",
                        reason="unlike_variant",
                    )


def _require_distinct_names(merged: Catalogue) -> None:
    """Arrivals are counted by session or query name alike, so one name must mean one thing."""
    queries = {query.name for query in merged.queries}
    for session in merged.sessions:
        _require_session_name(session)
        if session.name in queries:
            raise InvalidArgumentError(
                f"{session.name!r} is the name of a query and of a session; rename one",
                reason="name_clash",
            )


def _require_session_name(session: Session) -> None:
    require_name("session", session.name.replace(_SESSION_NAME_EXTRA, "-"))

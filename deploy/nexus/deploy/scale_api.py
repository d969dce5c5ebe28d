"""The three calls to the Kubernetes API: list the backends' StatefulSets, read and set a scale.

The only file that touches the `kubernetes` package, which only the scheduler's image has; it is
imported when a connection is made. Its errors become ours here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from nexus.core.errors import (
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NexusError,
    NotFoundError,
    UnavailableError,
)
from nexus.deploy.replicas import REPLICAS_MAX, BackendSet

DEVICE_LABEL = "nexus-serving/device-type"
REPLICAS_MIN_ANNOTATION = "nexus-serving/replicas-min"
REPLICAS_MAX_ANNOTATION = "nexus-serving/replicas-max"
SETS_MAX = 256
"""More StatefulSets than this are not looked at: one a device type and node pool is plenty."""

_TIMEOUT_S = (3.0, 10.0)
_MERGE_PATCH = "application/merge-patch+json"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale subresource: a replica count, and the version it was read at."""

    replicas: int
    resource_version: str


class ScaleConflictError(UnavailableError):
    """Someone else changed the set between the read and the write; read again."""

    default_reason = "scale_conflict"


class ScaleApi(Protocol):
    """What the controller needs of Kubernetes; every call may raise a NexusError."""

    def backend_sets(self) -> tuple[BackendSet, ...]:
        """Every StatefulSet of this namespace that carries the device label."""
        ...

    def scale(self, name: str) -> Scale:
        """The present scale of a set."""
        ...

    def set_scale(self, name: str, scale: Scale) -> None:
        """Set the count if the version is still ``scale.resource_version``."""
        ...


class KubernetesScaleApi:
    """ScaleApi on a real API server, for one namespace."""

    def __init__(self, apps: Any, namespace: str) -> None:
        """``apps`` is a ``kubernetes.client.AppsV1Api``."""
        self._apps = apps
        self._namespace = namespace

    def backend_sets(self) -> tuple[BackendSet, ...]:
        """Every StatefulSet with the device label; raise when an annotation is not a number."""
        found = _call(
            f"list StatefulSets in {self._namespace!r}",
            lambda: self._apps.list_namespaced_stateful_set(
                self._namespace,
                label_selector=DEVICE_LABEL,
                limit=SETS_MAX,
                _request_timeout=_TIMEOUT_S,
            ),
        )
        return tuple(_backend_set(item) for item in found.items)

    def scale(self, name: str) -> Scale:
        """Read the scale subresource."""
        found = _call(
            f"read the scale of StatefulSet {name!r}",
            lambda: self._apps.read_namespaced_stateful_set_scale(
                name, self._namespace, _request_timeout=_TIMEOUT_S
            ),
        )
        return Scale(found.spec.replicas or 0, found.metadata.resource_version)

    def set_scale(self, name: str, scale: Scale) -> None:
        """Patch the scale subresource; raise ScaleConflictError when the version is old."""
        body = {
            "metadata": {"resourceVersion": scale.resource_version},
            "spec": {"replicas": scale.replicas},
        }
        _call(
            f"set the scale of StatefulSet {name!r} to {scale.replicas}",
            lambda: self._apps.patch_namespaced_stateful_set_scale(
                name,
                self._namespace,
                body,
                _content_type=_MERGE_PATCH,
                _request_timeout=_TIMEOUT_S,
            ),
        )


def connect(namespace: str) -> KubernetesScaleApi:
    """Connect with the pod's service account, or else with the user's kubeconfig.

    Raises:
        FailedPreconditionError: the package is not installed, or there is no cluster to talk to.
    """
    try:
        from kubernetes import client, config  # noqa: PLC0415  only the scheduler's image has it
    except ImportError as error:
        raise FailedPreconditionError(
            "the `kubernetes` package is missing: install 'nexus-serving[kubernetes]', or run the "
            "scheduler without a Kubernetes namespace",
            reason="kubernetes_not_installed",
        ) from error
    try:
        config.load_config()  # type: ignore[no-untyped-call]  # only its models have types
    except config.ConfigException as error:
        raise FailedPreconditionError(
            f"no Kubernetes cluster to talk to: {error}", reason="kubernetes_not_configured"
        ) from error
    return KubernetesScaleApi(client.AppsV1Api(), namespace)


def _backend_set(item: Any) -> BackendSet:
    annotations: Mapping[str, str] = item.metadata.annotations or {}
    name: str = item.metadata.name
    return BackendSet(
        name=name,
        device=item.metadata.labels[DEVICE_LABEL],
        replicas=item.spec.replicas if item.spec.replicas is not None else 1,
        replicas_min=_count(name, annotations, REPLICAS_MIN_ANNOTATION, 0),
        replicas_max=_count(name, annotations, REPLICAS_MAX_ANNOTATION, REPLICAS_MAX),
    )


def _count(name: str, annotations: Mapping[str, str], key: str, default: int) -> int:
    text = annotations.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise InvalidArgumentError(
            f"StatefulSet {name!r}: annotation {key} is {text!r}, which is not a number",
            reason="invalid_annotation",
        )
    return int(text)


def _call(what: str, call: Callable[[], _T]) -> _T:
    """Run one API call; every failure leaves as a NexusError that says what was attempted."""
    from kubernetes.client.exceptions import ApiException, OpenApiException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        return call()
    except ApiException as error:
        raise _translated(what, error.status or 0, error.reason or "") from error
    except HTTPError as error:
        raise UnavailableError(f"cannot {what}: {error}", reason="kubernetes_away") from error
    except (OpenApiException, ValueError) as error:
        raise InternalError(
            f"cannot {what}: {error}", reason="kubernetes_malformed_answer"
        ) from error


def _translated(what: str, status: int, why: str) -> NexusError:
    message = f"cannot {what}: HTTP {status} {why}".rstrip()
    if status in (401, 403):
        return FailedPreconditionError(
            f"{message}; the scheduler's Role must allow it", reason="kubernetes_forbidden"
        )
    if status == 404:  # noqa: PLR2004  HTTP statuses are their own names
        return NotFoundError(message, reason="unknown_stateful_set")
    if status == 409:  # noqa: PLR2004
        return ScaleConflictError(message)
    if status == 429 or status >= 500 or status == 0:  # noqa: PLR2004
        return UnavailableError(message, reason="kubernetes_away")
    return InternalError(message, reason="kubernetes_refused")

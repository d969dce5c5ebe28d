"""The interceptor every server has: errors become status, and open calls are bounded.

A NexusError that a servicer raises ends the call with its status and trailing metadata. Anything
else is a defect: it is logged with its traceback here, and the caller gets INTERNAL without it.
"""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio

from nexus.core.errors import InternalError, NexusError, RefusedError
from nexus.rpc.status import abort

CALLS_MAX = 8_192
"""Calls open at once on one server; beyond it RESOURCE_EXHAUSTED, reason ``queue_full``."""

logger = logging.getLogger(__name__)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Behaviour: TypeAlias = Callable[[Any, _Context], Any]

_MAKERS: dict[tuple[bool, bool], tuple[str, Callable[..., _Handler]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""(request streams, response streams) to a handler's attribute and the function that makes one."""


class Guard(grpc.aio.ServerInterceptor):
    """Wraps every handler once; see the module."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        """Refuse calls beyond ``calls_max`` open ones."""
        self._calls_max = calls_max
        self._open = 0
        self._wrapped: dict[str, _Handler] = {}

    @property
    def open_calls(self) -> int:
        """Calls being handled now."""
        return self._open

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_MaybeHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _MaybeHandler:
        """The guarded handler of a method; None, as the continuation gives it, when unknown."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            # grpc answers UNIMPLEMENTED itself; such names are not remembered: callers choose them.
            return None
        self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: _Handler) -> _Handler:
        attribute, make = _MAKERS[handler.request_streaming, handler.response_streaming]
        behaviour: _Behaviour = getattr(handler, attribute)
        if inspect.isasyncgenfunction(behaviour):
            guarded = self._guard_stream(method, behaviour)
        else:
            assert inspect.iscoroutinefunction(behaviour), f"{method} must be async"
            guarded = self._guard_call(method, behaviour)
        return make(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guard_call(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        async def call(request: Any, context: _Context) -> Any:
            try:
                with self._counted():
                    return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the boundary: nothing passes but a status
                await _fail(method, context, error)

        return call

    def _guard_stream(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        async def stream(request: Any, context: _Context) -> AsyncIterator[Any]:
            try:
                with self._counted():
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            yield response
            except Exception as error:  # noqa: BLE001 - the boundary: nothing passes but a status
                await _fail(method, context, error)

        return stream

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._open >= self._calls_max:
            raise RefusedError(
                f"{self._calls_max} calls are open on this server, which is its limit",
                reason="queue_full",
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


async def _fail(method: str, context: _Context, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, NexusError):
        await abort(context, error)
    logger.error("call_failed method=%s", method, exc_info=error)
    await abort(
        context,
        InternalError(f"{method} failed on the server; its log has the cause", reason="internal"),
    )

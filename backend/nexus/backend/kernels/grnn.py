"""torch.nn.LSTM and torch.nn.GRU for inference, served by GRNN's kernels.

    import nexus.backend.kernels.grnn as GRNN

    layer = GRNN.LSTM(80, 256, num_layers=2)        # the constructor of torch.nn.LSTM
    layer = GRNN.LSTM.from_torch(trained)           # the same Parameters, not copies of them

Both are subclasses of torch's layers, so parameters, state dicts, calls and answers are theirs. A
call that the kernels cannot serve is torch's own: gradients are recorded, dropout is in effect, the
input is not float32 on a CPU, autocast or a tracer is at work. Only the first two are likely to be
mistakes of somebody who wants low latency, so they are warned of, once a layer.
"""

import warnings
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.choose_runner import build_runner
from nexus.backend.kernels.runner import Outputs, RecurrentRunner
from nexus.backend.kernels.weights import Floats, from_torch
from nexus.core.errors import FailedPreconditionError, InvalidArgumentError

Hidden = Tensor | tuple[Tensor, Tensor]
"""A GRU's h, or an LSTM's h and c."""
UNBATCHED, BATCHED = 2, 3
"""Dimensions of an input: [time, input], and with one for the batch."""
CALLER = 6
"""Frames from a warning to the line that called the module, past torch's own two."""
INFERENCE_ONLY = (
    "GRNN serves inference only, torch's own {kind} ran instead: {why}. For low latency call it "
    "under torch.inference_mode(), after .eval()"
)


class _Served(torch.nn.RNNBase):
    """What both layers share; comes before torch's layer in the order of bases."""

    torch_kind: ClassVar[type[torch.nn.RNNBase]]

    def __init__(
        self, *args: Any, precision: str = "fp32", threads: int = 0, **kwargs: Any
    ) -> None:
        """Torch's arguments, and how to serve.

        Args:
            *args: As torch.nn.LSTM and GRU take them.
            precision: ``fp32``, or ``bf16`` or ``fp24`` for weights of two or three bytes.
            threads: CPU threads of one call; 0 leaves it to the runner.
            **kwargs: As torch.nn.LSTM and GRU take them; no ``proj_size``.

        Raises:
            InvalidArgumentError: projections, or an unknown precision.
        """
        super().__init__(*args, **kwargs)
        if self.proj_size:
            raise InvalidArgumentError(
                "GRNN has no projections (proj_size): use torch.nn.LSTM", reason="invalid_shape"
            )
        self._precision = _precision(precision)
        self._threads = threads
        self._runner: RecurrentRunner | None = None
        self._packed: list[tuple[Tensor, int, int]] = []
        self._warned = False

    @classmethod
    def from_torch(
        cls, layer: torch.nn.RNNBase, *, precision: str = "fp32", threads: int = 0
    ) -> Self:
        """The same layer, sharing its Parameters, packed at once where the kernels can serve it.

        Raises:
            InvalidArgumentError: it is another kind of layer, or has projections.
        """
        if not isinstance(layer, cls.torch_kind):
            raise InvalidArgumentError(
                f"GRNN.{cls.__name__} cannot take over a {type(layer).__name__}",
                reason="invalid_shape",
            )
        sizes = (layer.input_size, layer.hidden_size, layer.num_layers, layer.bias)
        rest = (layer.batch_first, layer.dropout, layer.bidirectional)
        projections = {"proj_size": layer.proj_size} if layer.proj_size else {}
        served = cls(
            *sizes, *rest, precision=precision, threads=threads, device="meta", **projections
        )
        for name, parameter in layer.named_parameters(recurse=False):
            setattr(served, name, parameter)
        served.train(layer.training)
        if all(_plain(weight) for weight in served._weights):
            served.pack()
        return served

    @property
    def runner(self) -> RecurrentRunner | None:
        """What serves it: None before the first call, and where nothing is installed that could."""
        return self._runner

    def pack(self) -> None:
        """Pack the weights as they are now; a call does it whenever they have changed."""
        self._packed = [(one, one.data_ptr(), _version(one)) for one in self._weights]
        try:
            self._runner = build_runner(
                from_torch(self), precision=self._precision, threads=self._threads
            )
        except FailedPreconditionError as error:
            self._runner = None
            warnings.warn(f"torch serves the layer: {error.message}", stacklevel=2)

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002 - torch's name
        """As torch.nn.LSTM and GRU: a tensor or a PackedSequence, to the same and final states."""
        if self._is_torchs(input, hx):
            return super().forward(input, hx)
        if self._is_stale():
            self.pack()
        if self._runner is None:
            return super().forward(input, hx)
        if isinstance(input, PackedSequence):
            return self._served_packed(self._runner, input, hx)
        return self._served(self._runner, input, hx)

    def __getstate__(self) -> dict[str, Any]:
        """A copy packs for itself: what is packed belongs to this process's threads."""
        return {**self.__dict__, "_runner": None, "_packed": []}

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        """Another type or device makes what is packed void."""
        self._packed = []
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return self

    @property
    def _weights(self) -> list[Tensor]:
        return cast("list[Tensor]", self._flat_weights)

    def _is_stale(self) -> bool:
        """Whether a weight was replaced or changed in place since they were packed."""
        if not self._packed:
            return True
        for weight, (_, pointer, version) in zip(self._weights, self._packed, strict=True):
            if weight.data_ptr() != pointer or _version(weight) != version:
                return True
        return False

    def _is_torchs(self, given: Any, hx: Any) -> bool:
        """Whether torch has to serve this call; warns where that is hardly meant."""
        if _is_traced() or torch.is_autocast_enabled("cpu"):
            return True
        inputs = (given.data if isinstance(given, PackedSequence) else given, *_states(hx))
        if not all(map(_plain, inputs)) or not self._fits(given, hx):
            return True
        if not self._packed and not all(map(_plain, self._weights)):
            return True
        if self.training and self.dropout and self.num_layers > 1:
            self._warn("dropout is in effect in training mode")
            return True
        if torch.is_grad_enabled() and any(one.requires_grad for one in (*inputs, *self._weights)):
            self._warn("gradients are recorded")
            return True
        return False

    def _fits(self, given: Tensor | PackedSequence, hx: Hidden | None) -> bool:
        """Whether the sizes are right; those that are not are torch's to complain of."""
        x = given.data if isinstance(given, PackedSequence) else given
        batch: tuple[int, ...] = ()
        if isinstance(given, PackedSequence):
            batch = (int(given.batch_sizes[0]),)
        elif x.dim() == BATCHED:
            batch = (x.shape[0 if self.batch_first else 1],)
        layers = self.num_layers * (2 if self.bidirectional else 1)
        size = (layers, *batch, self.hidden_size)
        states = _states(hx)
        return (
            x.dim() in {UNBATCHED, BATCHED}
            and x.numel() > 0
            and x.shape[-1] == self.input_size
            and len(states) in {0, 2 if self.mode == "LSTM" else 1}
            and all(state.shape == size for state in states)
        )

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            text = INFERENCE_ONLY.format(kind=self.torch_kind.__name__, why=why)
            warnings.warn(text, stacklevel=CALLER)

    def _served(self, runner: RecurrentRunner, x: Tensor, hx: Hidden | None) -> Any:
        """A tensor [time, batch, input], [batch, time, input] or, unbatched, [time, input]."""
        is_batched = x.dim() == BATCHED
        if not is_batched:
            x = x.unsqueeze(0 if self.batch_first else 1)
            hx = _map(hx, lambda state: state.unsqueeze(1))
        steps = x.transpose(0, 1) if self.batch_first else x
        outputs = runner.run(_array(steps), None, *map(_array, _states(hx)))
        y, state = _tensors(outputs)
        if self.batch_first:
            y = y.transpose(0, 1)
        if is_batched:
            return y, state
        return y.squeeze(0 if self.batch_first else 1), _map(state, lambda one: one.squeeze(1))

    def _served_packed(
        self, runner: RecurrentRunner, packed: PackedSequence, hx: Hidden | None
    ) -> Any:
        """Served in the packed order, longest first, in which the answer is packed again."""
        data, sizes, order, back = packed
        x, lengths = pad_packed_sequence(PackedSequence(data, sizes))
        hx = hx if order is None else _map(hx, lambda state: state.index_select(1, order))
        outputs = runner.run(_array(x), lengths.int().numpy(), *map(_array, _states(hx)))
        y, state = _tensors(outputs)
        if back is not None:
            state = cast("Hidden", _map(state, lambda one: one.index_select(1, back)))
        answer = pack_padded_sequence(y, lengths)
        return PackedSequence(answer.data, sizes, order, back), state


class LSTM(_Served, torch.nn.LSTM):
    """torch.nn.LSTM; see the module."""

    torch_kind = torch.nn.LSTM


class GRU(_Served, torch.nn.GRU):
    """torch.nn.GRU; see the module."""

    torch_kind = torch.nn.GRU


def _precision(name: str) -> Precision:
    try:
        return Precision(name)
    except ValueError:
        names = ", ".join(one.value for one in Precision)
        raise InvalidArgumentError(
            f"precision {name!r} is not one of {names}", reason="invalid_precision"
        ) from None


def _plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype is torch.float32 and value.is_cpu


def _version(tensor: Tensor) -> int:
    """Counts changes in place; a tensor made in inference mode counts none."""
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001 - documented in autograd's notes


def _is_traced() -> bool:
    return bool(torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


def _states(hx: Any) -> tuple[Any, ...]:
    if hx is None:
        return ()
    return tuple(hx) if isinstance(hx, tuple | list) else (hx,)


def _map(hx: Hidden | None, change: Any) -> Hidden | None:
    if hx is None or isinstance(hx, Tensor):
        return None if hx is None else cast("Tensor", change(hx))
    return (change(hx[0]), change(hx[1]))


def _array(tensor: Tensor) -> Floats:
    return cast("Floats", tensor.detach().numpy())


def _tensors(outputs: Outputs) -> tuple[Tensor, Hidden]:
    y, h_n = torch.from_numpy(outputs.y), torch.from_numpy(outputs.h_n)
    return y, h_n if outputs.c_n is None else (h_n, torch.from_numpy(outputs.c_n))

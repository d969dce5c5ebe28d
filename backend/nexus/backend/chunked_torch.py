"""Which torch networks run by chunks on this device, and how."""

import logging

from nexus.backend.chunked_network import ChunkedModel
from nexus.backend.kernels.cellular.build_slots import build_slots
from nexus.backend.kernels.cellular.measure import measure_cost
from nexus.backend.kernels.weights import from_torch
from nexus.backend.network import NetworkModel
from nexus.backend.torch_executor import TorchNetwork
from nexus.core.errors import FailedPreconditionError
from nexus.core.model import Model

logger = logging.getLogger(__name__)


def by_chunks(loaded: NetworkModel, model: Model, threads: int) -> NetworkModel:
    """The model by chunks, or as it is where its network has no layer with slots.

    It has one where it is a ``RecurrentNetwork`` on a CPU. Chunks are timed for a few seconds.

    Args:
        loaded: Its torch network, and its handler.
        model: Its declaration: as many items as are in its largest batch can advance together.
        threads: CPU threads of one chunk; 0 leaves it to the runner.
    """
    network = loaded.network
    assert isinstance(network, TorchNetwork), model.name
    stack = network.stack
    if stack is None:
        return loaded
    try:
        weights = from_torch(stack)
        runner = build_slots(weights, model.max_batch, threads=threads)
    except FailedPreconditionError as error:
        logger.warning("whole batches", extra={"model": model.name, "why": error.message})
        return loaded
    logger.info("model runs by chunks", extra={"model": model.name, "slots": runner.name})
    return ChunkedModel(
        loaded,
        runner=runner,
        weight_bytes=weights.nbytes,
        cost=measure_cost(runner),
        read_out=network.read_out,
    )

"""Run by test_kserve_client in kserve's own environment: ask a server, print what it said as JSON.

``python kserve_script.py HOST:PORT ROWS``; ROWS is a JSON list of rows for the model ``mlp``.
"""

import asyncio
import json
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


def request(model: str, rows: Any, *, binary: bool) -> Any:
    """The same values as raw bytes, or as typed contents."""
    tensor = InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(model_name=model, request_id="k1", infer_inputs=[tensor])


async def ask(address: str, rows: Any) -> dict[str, Any]:
    """Every call that the client has."""
    said: dict[str, Any] = {}
    async with InferenceGRPCClient(address) as client:
        said["live"] = await client.is_server_live()
        said["ready"] = await client.is_server_ready()
        said["model_ready"] = await client.is_model_ready("mlp")
        said["unknown_ready"] = await client.is_model_ready("nosuch")
        for name, binary in (("raw", True), ("contents", False)):
            response = await client.infer(request("mlp", rows, binary=binary))
            said[name] = response.outputs[0].as_numpy().tolist()
            said["id"], said["model"] = response.id, response.model_name
        try:
            await client.infer(request("nosuch", rows, binary=True))
        except grpc.RpcError as error:
            call: Any = error
            said["unknown"] = [call.code().name, call.details()]
    return said


if __name__ == "__main__":
    values = np.array(json.loads(sys.argv[2]), np.float32)
    json.dump(asyncio.run(ask(sys.argv[1], values)), sys.stdout)

"""The emulated device: the right shapes, the profiled time, the declared findings."""

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from nexus.backend.emulated_executor import EmulatedExecutor, EmulatedModel
from nexus.backend.emulated_findings import findings_of
from nexus.backend.executor import Left, Part
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.core.profile import Profile
from nexus.core.request import Dispatch
from nexus.core.tensor import DataType, Tensor, TensorSpec

PROFILE = Profile(model="toy", device="v100", latencies_us=(10_000, 20_000, 30_000))


def model(findings: str = "") -> Model:
    return Model(
        name="toy",
        engine=EngineKind.EMULATED,
        outputs=(
            TensorSpec("scores", DataType.FP16, (-1, 3, -1)),
            TensorSpec("labels", DataType.BYTES, (-1, 2)),
        ),
        parameters={"emulated_findings": findings} if findings else {},
    )


def dispatch(number: int = 1, items: int = 2) -> Dispatch:
    return Dispatch(id=number, session="toy@1ms", deadline_us=0, items=items)


def test_emulated_model_answers_the_declared_tensors() -> None:
    loaded = EmulatedModel(model(), PROFILE)
    answer = loaded.answer(loaded.prepare(dispatch(), ()), None)
    scores, labels = answer.tensors
    assert (scores.datatype, scores.shape, len(scores.content)) == (DataType.FP16, (2, 3, 1), 12)
    assert (labels.datatype, labels.shape, labels.content) == (DataType.BYTES, (2, 2), bytes(16))
    assert answer.items == ()


def test_emulated_model_refuses_other_rows_than_items() -> None:
    rows = Tensor("image", DataType.UINT8, (3, 1), b"abc")
    with pytest.raises(InvalidArgumentError, match="3 rows, the dispatch 2 items"):
        EmulatedModel(model(), PROFILE).prepare(dispatch(), (rows,))


def test_emulated_findings_have_the_declared_mean_and_repeat() -> None:
    findings = findings_of(model("person:2.5, car:1"))
    assert findings is not None
    items = [findings.draw(dispatch(number, 1), ())[0] for number in range(1, 401)]
    persons = sum(f.label == "person" for item in items for f in item.findings)
    cars = sum(f.label == "car" for item in items for f in item.findings)
    assert 2.4 <= persons / 400 <= 2.6
    assert cars == 400
    assert all(0.5 <= f.score <= 1 and f.region for item in items for f in item.findings)
    assert findings.draw(dispatch(7), ()) == findings.draw(dispatch(7), ())
    assert len(findings.draw(dispatch(7, 5), ())) == 5


@pytest.mark.parametrize(
    "text", ["person", "person:x", ":1", "person:-1", "person:65", "person:nan"]
)
def test_emulated_findings_name_what_is_malformed(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'toy'.*emulated_findings"):
        findings_of(model(text))


async def test_emulated_executor_takes_the_profiled_time() -> None:
    executor = EmulatedExecutor()
    loaded = await executor.load(model(), PROFILE)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    outputs = await executor.execute(
        loaded, [loaded.prepare(dispatch(items=n), ()) for n in (1, 2)]
    )
    assert len(outputs) == 2
    assert 0.029 <= loop.time() - began_s < 0.5


async def test_emulated_executor_takes_the_time_of_a_prefix_group() -> None:
    executor = EmulatedExecutor()
    group = Profile(model="group", device="v100", latencies_us=(5_000,) * 4)
    members = [await executor.load(model(), PROFILE) for _ in range(2)]
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    outputs = await executor.execute_group(
        group, [Part(member, [member.prepare(dispatch(), ())]) for member in members]
    )
    assert len(outputs) == 2
    assert 0.004 <= loop.time() - began_s < 0.035


def chunked(text: str) -> Model:
    return replace(model(), parameters={"emulated_chunk_ms": text})


async def test_emulated_executor_advances_by_the_chunks_share_of_the_profiled_time() -> None:
    executor = EmulatedExecutor()
    loaded = await executor.load(chunked("5"), PROFILE)
    first, second = (loaded.prepare(dispatch(items=1), ()) for _ in range(2))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert await executor.advance(loaded, [first], None) == [Left(0.5)]
    # l(2) is 20 ms, and a quarter of that is one chunk.
    assert await executor.advance(loaded, [first, second], None) == [Left(0.25), Left(0.75)]
    assert await executor.advance(loaded, [first, second], first) == [None, Left(0.5)]
    assert await executor.advance(loaded, [second], None) == [None]
    assert 0.019 <= loop.time() - began_s < 0.5


async def test_emulated_executor_forgets_what_is_abandoned() -> None:
    executor = EmulatedExecutor()
    loaded = await executor.load(chunked("5"), PROFILE)
    one = loaded.prepare(dispatch(items=1), ())
    assert await executor.advance(loaded, [one], None) == [Left(0.5)]
    executor.abandon(loaded, one)
    assert await executor.advance(loaded, [one], None) == [Left(0.5)]
    assert await executor.advance(loaded, [], None) == []


@pytest.mark.parametrize("text", ["", "x", "0", "-5", "nan", "1001"])
def test_emulated_chunk_names_what_is_malformed(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'toy': emulated_chunk_ms"):
        EmulatedModel(chunked(text), PROFILE)


def test_emulated_backend_imports_no_numerical_library() -> None:
    program = (
        "import sys, nexus.backend.__main__, nexus.backend.emulated_executor\n"
        "print([name for name in ('torch', 'numpy', 'onnxruntime', 'PIL') if name in sys.modules])"
    )
    heavy = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert heavy.stdout == b"[]\n"

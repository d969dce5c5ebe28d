"""``nexus query``: an image, or a video as a stream of frames, through a declared query."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.output import milliseconds, print_json
from nexus.cli.video_file import is_image, jpeg_frames
from nexus.client import Client, QueryResult
from nexus.core.answer import StageResult
from nexus.core.document import to_data
from nexus.core.errors import InvalidArgumentError, NotFoundError
from nexus.core.units import ms_from_us

EXAMPLE = """\
  nexus query street frame.jpg
  nexus query street street.mp4 --fps 2
  nexus query street street.mp4 --all --json > answers.jsonl"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("name", help="the query's name")
    parser.add_argument("file", type=Path, help="an image (.jpg, .png), else a video")
    parser.add_argument("--fps", type=float, help="frames/s of a video (default: its own)")
    parser.add_argument(
        "--all",
        action="store_true",
        help="every frame of a video, as fast as they are answered, not the newest at --fps",
    )
    parser.add_argument("--in-flight", type=int, default=4, metavar="N", help="default: 4")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="the deadline of a frame")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a frame")
    add_cluster_arguments(parser, frontend=True)


def run(arguments: argparse.Namespace) -> int:
    """0 when every frame was answered, 1 when one was not."""
    if not arguments.file.is_file():
        raise NotFoundError(f"{arguments.file} is not a file")
    if arguments.fps is not None and not 0 < arguments.fps < float("inf"):
        raise InvalidArgumentError(f"--fps {arguments.fps:g} is not above 0")
    with Client(cluster_choice(arguments).frontends()) as client:
        if is_image(arguments.file):
            return _one(client, arguments)
        return _stream(client, arguments)


def _one(client: Client, arguments: argparse.Namespace) -> int:
    result = client.query(arguments.name, arguments.file, timeout_s=arguments.timeout)
    if arguments.json:
        print_json(as_data(result))
        return 0
    print("\n".join(stage_lines(result)))
    print(f"answered in {milliseconds(result.latency_us)}")
    return 0


def _stream(client: Client, arguments: argparse.Namespace) -> int:
    frames = jpeg_frames(arguments.file, fps=arguments.fps, paced=not arguments.all)
    stream = client.stream(
        arguments.name,
        frames,
        keep="all" if arguments.all else "newest",
        in_flight=arguments.in_flight,
        timeout_s=arguments.timeout,
        stream_id=arguments.file.name,
    )
    ended: Counter[str] = Counter()
    with stream:
        for result in stream:
            ended[result.error.reason if result.error else "answered"] += 1
            _print_frame(result, as_json=arguments.json)
    if not arguments.json:
        outcomes = ", ".join(f"{count} {reason}" for reason, count in sorted(ended.items()))
        print(f"{outcomes or 'no frames'}; {stream.counts.replaced} replaced by newer ones")
    return 0 if ended.total() == ended["answered"] else 1


def _print_frame(result: QueryResult, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_data(result)), flush=True)
        return
    said = result.error.message if result.error else "; ".join(stage_lines(result, short=True))
    print(f"frame {result.frame_id:5d}  {milliseconds(result.latency_us):>10}  {said}", flush=True)


def as_data(result: QueryResult) -> dict[str, Any]:
    """The result as plain data for JSON, without tensors."""
    return {
        "query": result.query,
        "frame_id": result.frame_id,
        "latency_ms": ms_from_us(result.latency_us),
        "error": None
        if result.error is None
        else {"reason": result.error.reason, "message": result.error.message},
        "stages": [_stage_data(stage) for stage in result.stages],
    }


def _stage_data(stage: StageResult) -> dict[str, Any]:
    outcome = stage.outcome
    return {
        "stage": stage.stage,
        "reason": outcome.reason.value if outcome.reason else None,
        "budget_ms": ms_from_us(stage.budget_us),
        "latency_ms": ms_from_us(stage.latency_us),
        "batch": outcome.batch,
        "items": [to_data(item.findings) for item in outcome.items],
        "regions": to_data(stage.regions),
        "skipped_items": stage.skipped_items,
        "failed_items": stage.failed_items,
    }


def stage_lines(result: QueryResult, *, short: bool = False) -> list[str]:
    """What each stage found, in words."""
    lines = []
    for stage in result.stages:
        labels = Counter(f.label for item in stage.outcome.items for f in item.findings)
        seen = ", ".join(f"{n} {label}" if n > 1 else label for label, n in labels.most_common())
        took = "" if short else f"  ({milliseconds(stage.latency_us)})"
        if stage.outcome.reason is not None:
            seen = stage.outcome.reason.value
        lines.append(f"{stage.stage}: {seen or 'nothing'}{took}")
    return lines

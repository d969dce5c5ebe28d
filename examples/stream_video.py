"""Stream a folder of JPEG frames through a query like a camera: always the newest frame.

python examples/stream_video.py frames/ --query street --fps 10 --address 127.0.0.1:8001
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from nexus.client import AsyncClient


async def camera(frames: list[Path], fps: float) -> AsyncIterator[Path]:
    """Every frame when it is due; a camera waits for nobody."""
    for frame in frames:
        yield frame
        await asyncio.sleep(1 / fps)


async def stream(frames: list[Path], query: str, fps: float, address: str) -> None:
    """Print what was found; frames that nobody had time for were replaced by newer ones."""
    async with AsyncClient(address) as client, client.stream(query, camera(frames, fps)) as results:
        async for result in results:
            if result.error is not None:
                print(f"frame {result.frame_id}: {result.error.reason}")
                continue
            for stage in result.stages:
                labels = [finding.label for finding in result.findings(stage.stage)]
                print(f"frame {result.frame_id}: {stage.stage}: {', '.join(labels) or '-'}")
        print(f"{results.counts.replaced} of {results.counts.offered} frames were replaced")


def main() -> None:
    """Parse the command line and stream."""
    parser = argparse.ArgumentParser(description="a folder of frames as a camera")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--query", default="street")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--address", default="127.0.0.1:8001", help="a frontend")
    arguments = parser.parse_args()
    frames = sorted(arguments.folder.glob("*.jpg"))
    asyncio.run(stream(frames, arguments.query, arguments.fps, arguments.address))


if __name__ == "__main__":
    main()

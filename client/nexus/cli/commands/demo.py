"""``nexus demo``: real models on real frames, end to end, on this machine."""

import argparse
import asyncio
import os
from pathlib import Path

from nexus.cli.cluster_file import default_directory
from nexus.core.errors import InvalidArgumentError

EXAMPLE = """\
  nexus demo street
  nexus demo street --seconds 20 --fps 2 --keep"""
SECONDS_MAX = 86_400.0
FPS_MAX = 100.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("name", choices=["street"], help="street: who and what passes a camera")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument(
        "--fps", type=float, default=0.0, help="frames/s (default: what the plan can keep)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster up afterwards")
    parser.add_argument("--dir", type=Path, help="as `nexus up --dir` (default: per user)")
    parser.add_argument("--cache", type=Path, help="measured profiles (default: the user's cache)")
    parser.add_argument("--png", type=Path, help="an annotated frame (default: DIR/street.png)")


def run(arguments: argparse.Namespace) -> int:
    """0 when at least 99 % of the admitted frames were answered within the SLO, else 1."""
    if not 0 < arguments.seconds <= SECONDS_MAX or not 0 <= arguments.fps <= FPS_MAX:
        raise InvalidArgumentError(
            f"--seconds must be in (0, {SECONDS_MAX:g}] and --fps in [0, {FPS_MAX:g}]"
        )
    # Imported here: --help must not need the video extra.
    from rich.console import Console  # noqa: PLC0415

    from nexus.cli.devices import count_gpus  # noqa: PLC0415
    from nexus.cli.profile_cache import default_cache_folder  # noqa: PLC0415
    from nexus.cli.street_demo import DemoSettings, run_demo  # noqa: PLC0415

    directory = arguments.dir or default_directory(os.environ).with_name("demo")
    settings = DemoSettings(
        directory=directory,
        cache=arguments.cache or default_cache_folder(),
        png=arguments.png or directory / "street.png",
        seconds=arguments.seconds,
        fps=arguments.fps,
        keep=arguments.keep,
        gpus=count_gpus(),
    )
    return asyncio.run(run_demo(settings, Console()))

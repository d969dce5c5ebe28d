"""``nexus kernels``: the kernels of recurrent layers, before a model needs them."""

import argparse
from pathlib import Path

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.choice import Demand, choose
from nexus.backend.kernels.cuda.compiler import cache_folder, warm
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.device_limits import KNOWN, DeviceLimits
from nexus.backend.kernels.cuda.shipped import shipped
from nexus.cli import kernels_explain

EXAMPLE = """\
  nexus kernels explain --cell lstm --hidden 1024 --batch 4 --device h100
  nexus kernels warm --device h100
  nexus kernels warm --device a100 --cell lstm --precision bf16 --hidden 768 --batch 4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their flags."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    explaining = actions.add_parser(
        "explain", help="say which kernel a stack would run on, which ones not, and why"
    )
    kernels_explain.add_arguments(explaining)
    explaining.set_defaults(act=kernels_explain.run)
    warming = actions.add_parser(
        "warm", help="compile into the cache, so that no model load has to; needs no GPU"
    )
    warming.add_argument("--device", choices=sorted(KNOWN), required=True, help="the kind of GPU")
    warming.add_argument("--cache", type=Path, metavar="DIR", help=f"default: {cache_folder()}")
    warming.add_argument(
        "--hidden", type=int, metavar="N", help="one layer's width (default: all that are shipped)"
    )
    warming.add_argument("--input", type=int, metavar="N", help="its input's width (default: same)")
    warming.add_argument("--cell", choices=[cell.value for cell in Cell], default="lstm")
    warming.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    warming.add_argument("--batch", type=int, default=1, metavar="N")
    warming.add_argument("--bidirectional", action="store_true")
    warming.set_defaults(act=_warm)


def run(arguments: argparse.Namespace) -> int:
    """Do the action."""
    code: int = arguments.act(arguments)
    return code


def _warm(arguments: argparse.Namespace) -> int:
    limits = KNOWN[arguments.device]
    for configuration in _wanted(arguments, limits):
        ((_, _, compiled),) = warm([configuration], [limits.arch], arguments.cache)
        print(
            f"{configuration.cell.value} {configuration.precision.value} "
            f"hidden {configuration.hidden_size}, {configuration.batch_tile} sequences a tile: "
            f"{configuration.blocks * configuration.parts} blocks of {configuration.threads} "
            f"threads, {compiled.resources.registers} registers"
        )
    print(f"compiled for {limits.name} (sm_{limits.arch}) in {arguments.cache or cache_folder()}")
    return 0


def _wanted(arguments: argparse.Namespace, limits: DeviceLimits) -> list[Configuration]:
    if arguments.hidden is None:
        return list(dict.fromkeys(configuration for _, configuration in shipped(limits)))
    demand = Demand(
        Cell(arguments.cell),
        Precision(arguments.precision),
        arguments.input or arguments.hidden,
        arguments.hidden,
        arguments.batch,
        directions=2 if arguments.bidirectional else 1,
    )
    return [choose(demand, limits).configuration]

"""Rates of a query's stages: frames per second times the fan-outs on the way.

A stage per finding is called ``fan_out`` times for each call of its parents together; a stage per
frame, whatever it waits for, ``fan_out`` times for each frame.
"""

from collections.abc import Mapping

from nexus.core.names import StageName
from nexus.core.query import Per, Query


def stage_rates(
    query: Query, frame_rate: float, fan_outs: Mapping[StageName, float]
) -> dict[StageName, float]:
    """Calls per second of every stage; a stage missing in ``fan_outs`` has its declared one."""
    rates: dict[StageName, float] = {}
    for stage in query.stages:
        fan_out = fan_outs.get(stage.name, stage.fan_out)
        called_by_frame = stage.per is Per.FRAME
        base = frame_rate if called_by_frame else sum(rates[parent] for parent in stage.after)
        rates[stage.name] = base * fan_out
    return rates

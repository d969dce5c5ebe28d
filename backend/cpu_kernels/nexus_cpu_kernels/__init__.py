"""Recurrent layers on CPUs; see the distribution's README for shapes, units and limits."""

from nexus_cpu_kernels._native import Plan, Pool, Slots, Stack, features

__all__ = ["Plan", "Pool", "Slots", "Stack", "features"]

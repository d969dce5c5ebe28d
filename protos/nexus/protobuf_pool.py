"""The private descriptor pool that all our generated messages live in (ADR 0004).

Protobuf's default pool is one per process, and a symbol may be defined in it once. tritonclient,
kserve and others each bring ``inference.ModelInferRequest`` into it, so a program that imported
them beside our SDK would die with "duplicate symbol". The generated modules therefore ask this
module for their pool; ``tools/generate_protos.py`` sees to it.
"""

from google.protobuf.descriptor_pool import DescriptorPool

_POOL = DescriptorPool()


def Default() -> DescriptorPool:  # noqa: N802 - stands in for google.protobuf.descriptor_pool
    """The pool of every message of ``nexus.v1`` and ``nexus.inference``."""
    return _POOL

"""Measuring latency and memory by batch size; profile files; importers of published ones."""

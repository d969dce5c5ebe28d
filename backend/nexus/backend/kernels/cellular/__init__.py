"""Cellular batching: sequences share chunks of steps, join and leave between them (ADR 0028)."""

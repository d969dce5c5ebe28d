"""Frozen dataclasses of the vocabulary, errors and the engine shape: standard library only."""

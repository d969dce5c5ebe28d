"""The three engines in one virtual-time world: seeded, deterministic, with checkers beside it."""

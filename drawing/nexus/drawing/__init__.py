"""Pictures of plans, simulations and measurements: pure functions from data to SVG text."""

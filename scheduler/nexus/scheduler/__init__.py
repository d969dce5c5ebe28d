"""The scheduler: rates, SLO split, squishy bin packing, placement, and the epoch engine."""

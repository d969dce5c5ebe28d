"""Cost models of recurrent kernels, and the planner that picks a configuration by them."""

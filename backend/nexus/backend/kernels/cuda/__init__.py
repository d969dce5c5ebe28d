"""The CUDA kernels: sources, configurations, packing, compilation and launch (README.md)."""

"""Demonstrations on real input: so far the street query (see demo/README.md)."""

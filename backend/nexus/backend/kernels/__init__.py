"""GRNN: recurrent layers served faster than the libraries serve them (README.md)."""

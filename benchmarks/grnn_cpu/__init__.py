"""Recurrent layers on CPUs: GRNN against the best of the libraries, point by point."""

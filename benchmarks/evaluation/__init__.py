"""The evaluation: what is promised, what was measured, in one command (see ``__main__``)."""

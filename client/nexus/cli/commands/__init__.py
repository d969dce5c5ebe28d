"""One file a sub-command: ``SUMMARY``, ``EXAMPLE``, ``add_arguments`` and ``run``."""

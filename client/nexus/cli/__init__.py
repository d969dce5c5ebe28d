"""The ``nexus`` command and the one-machine cluster behind ``nexus up``."""

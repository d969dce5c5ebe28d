"""The zoo: network definitions, weight readers, pre- and post-processing (see zoo/README.md)."""

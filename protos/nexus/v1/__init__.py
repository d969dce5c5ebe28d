"""Generated code of the protocols of Nexus itself, in the private descriptor pool."""

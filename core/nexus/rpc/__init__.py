"""Where protobuf meets core: conversions, frames, status, health and servers."""

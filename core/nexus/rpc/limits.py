"""Limits and keepalive of every gRPC channel and server of ours, in grpc's option form."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""One message, both ways: ten raw 1080p frames. grpc's own default is 4 MiB, less than one."""

KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
PING_INTERVAL_MS_MIN = 10_000
"""How often a client may ping without data before the server hangs up."""

Option = tuple[str, int]


def message_options(message_bytes: int = MESSAGE_BYTES_MAX) -> list[Option]:
    """Allow messages of that size in both directions."""
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
    ]


def keepalive_options() -> list[Option]:
    """Notice a peer that vanished without closing, also between calls; for either side."""
    return [
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
    ]


def channel_options(message_bytes: int = MESSAGE_BYTES_MAX) -> list[Option]:
    """What every client channel of ours is made with."""
    return [*message_options(message_bytes), *keepalive_options()]

"""Every limit of the frontend, in one place; each comment names the outcome when it is reached."""

IN_FLIGHT_MAX = 4_096
"""Items of one session under way at once; the next is refused QUEUE_FULL."""

QUERIES_IN_FLIGHT_MAX = 1_024
"""Frames of one query under way at once; the next is refused QUEUE_FULL."""

REQUEST_ITEMS_MAX = 1_024
"""Items (first dimension) of one request; more is INVALID."""

DISPATCH_ITEMS_MIN = 8
"""A dispatch may carry this many items although the plan's batch is smaller: the crops of one frame
share one copy of it, and the backend spreads them over batches. More are split over dispatches."""

RETRIES_MAX = 2
"""How often one dispatch is repeated on another backend; then it ends BACKEND_LOST."""

GRACE_US = 20_000
"""An unanswered dispatch is given up this long after its deadline: the backend's own reason for a
drop says more than ours, and needs the way back. Then it ends DEADLINE."""

ASKS_OPEN_MAX = 16_384
"""Asks that wait for the owners of pools; the next item that would have to ask is refused
QUEUE_FULL."""

ASK_US_MAX = 10_000
ASK_SHARE_OF_TIME = 1 / 8
"""An ask is given up after the lesser of the two (a share of the time left): then the frontend
decides itself where the items go. A peer answers within a millisecond or two, unless its loop is
blocked; an eighth is about what staggering gains on a small pool."""

TRAVEL_US = 3_000
"""Kept free of a request's time for the way to its backend and back, by this frontend's
reckoning: no less than what the backend itself keeps free, or a pool's batch starts too early for
us."""

ANSWER_RESERVE_US = 2_000
"""Kept at the end of a query's time, so that a partial answer is still in time."""


STREAM_IN_FLIGHT_MAX = 16
"""Frames of one query stream under way at once; more are refused with QUEUE_FULL: a camera should
keep its newest."""

INFERENCE_STREAM_IN_FLIGHT_MAX = 1_024
"""Requests of one inference stream under way at once; beyond it no more are read, so the client is
held back by flow control."""

FRAMED_IN_FLIGHT_MAX = 16_384
"""Requests of all framed callers under way at once; more are refused with QUEUE_FULL."""

CONNECTIONS_MAX = 1_024
"""Backends connected at once; routes beyond it have no backend (NO_ROUTE)."""

PEERS_MAX = 256
"""Other frontends that one is connected to; the pools of those beyond it have the next owner."""

STAGE_ITEMS_MAX = 256
"""Crops that one stage takes from one frame over all parent calls; the others are skipped."""

LOST_REPORT_US = 250_000
"""A backend that is away for so long is reported to the scheduler, before the next second's report:
a connection that merely broke is back by then."""

NO_ROUTE_RETRY_US = 1_000_000
"""What a caller is told to wait when a session has no backend: about one load of a model."""

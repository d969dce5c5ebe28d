"""The table of every metric of the system. Dashboards and alert rules read it too."""

from nexus.telemetry.spec import (
    BATCH_BUCKETS,
    EPOCH_BUCKETS_S,
    LOAD_BUCKETS_S,
    SLACK_BUCKETS_S,
    MetricSpec,
    counter,
    gauge,
    histogram,
)

REQUESTS = counter(
    "nexus_frontend_requests_total",
    "Requests for a session, by outcome: ok or the drop reason.",
    "session",
    "model",
    "outcome",
)
REQUEST_LATENCY = histogram(
    "nexus_frontend_request_latency_seconds",
    "From a request's arrival to its answer; answered requests only.",
    "session",
)
DEGRADED = counter(
    "nexus_frontend_degraded_total",
    "Requests for a session that a cheaper variant of its model answered: that one.",
    "session",
    "model",
)
QUERY_REQUESTS = counter(
    "nexus_frontend_query_requests_total",
    "Frames sent to a query, by outcome: ok or the drop reason.",
    "query",
    "outcome",
)
QUERY_LATENCY = histogram(
    "nexus_frontend_query_latency_seconds",
    "From a frame's arrival to the answer of its whole query; answered frames only.",
    "query",
)
STAGE_LATENCY = histogram(
    "nexus_frontend_stage_latency_seconds",
    "One call of a query's stage, from dispatch to reply, all its items together.",
    "session",
)
SLACK = histogram(
    "nexus_frontend_slack_seconds",
    "Deadline minus finish of each finished request or frame; negative is late.",
    "session",
    buckets=SLACK_BUCKETS_S,
)
ASKS = counter(
    "nexus_frontend_asks_total",
    "Asks of other frontends about pools that this one owns, by outcome: ok or the drop reason.",
    "outcome",
)
IN_FLIGHT = gauge(
    "nexus_frontend_in_flight_requests", "Requests and frames accepted and not yet answered."
)
SLO_TARGET = gauge(
    "nexus_frontend_slo_target_seconds",
    "The SLO of a session or query, or a stage's share of its query's.",
    "session",
)
EXPECTED_WAIT = gauge(
    "nexus_frontend_admission_expected_wait_seconds",
    "What admission expects a request that arrives now to wait.",
    "session",
)
DISPATCHES = counter(
    "nexus_frontend_dispatches_total",
    "Dispatches to backends, by outcome: ok or the drop reason.",
    "session",
    "backend",
    "outcome",
)
TABLE_VERSION = gauge(
    "nexus_frontend_routing_table_version", "Version of the routing table in use."
)
TABLE_AGE = gauge(
    "nexus_frontend_routing_table_age_seconds",
    "Since the routing table was last read, changed or not: how stale it may be.",
)
FRONTEND_STORE_UP = gauge("nexus_frontend_store_up", "1 when the last call to the store succeeded.")

FRONTEND = (
    REQUESTS,
    DEGRADED,
    REQUEST_LATENCY,
    QUERY_REQUESTS,
    QUERY_LATENCY,
    STAGE_LATENCY,
    SLACK,
    ASKS,
    IN_FLIGHT,
    SLO_TARGET,
    EXPECTED_WAIT,
    DISPATCHES,
    TABLE_VERSION,
    TABLE_AGE,
    FRONTEND_STORE_UP,
)

BATCHES = counter("nexus_backend_batches_total", "Batches executed.", "session")
BATCH_SIZE = histogram(
    "nexus_backend_batch_size_items",
    "Items in each executed batch.",
    "session",
    buckets=tuple(float(size) for size in BATCH_BUCKETS),
)
EXECUTE = histogram(
    "nexus_backend_execute_seconds", "One batch on the device, the paper's l(b).", "session"
)
QUEUE_WAIT = histogram(
    "nexus_backend_queue_wait_seconds",
    "An item's wait from its arrival to the start of its batch, preparation included.",
    "session",
)
QUEUE_LENGTH = gauge("nexus_backend_queue_length_items", "Items waiting now.", "session")
DROPS = counter("nexus_backend_drops_total", "Items dropped, by reason.", "session", "reason")
DEVICE_BUSY = counter(
    "nexus_backend_device_busy_seconds_total",
    "Time the device spent executing batches; its rate is the busy ratio.",
)
BATCH_TARGET = gauge("nexus_backend_batch_target_items", "The planned batch size.", "session")
DUTY_CYCLE = gauge("nexus_backend_duty_cycle_seconds", "The planned duty cycle.")
MEMORY = gauge("nexus_backend_memory_bytes", "Memory of each resident model.", "model")
MODEL_LOAD = histogram(
    "nexus_backend_model_load_seconds",
    "Making a model resident.",
    "model",
    buckets=LOAD_BUCKETS_S,
)
PROFILE_ERROR = gauge(
    "nexus_backend_profile_error_ratio",
    "Measured batch latency over the profile's; above 1 the plan is too hopeful.",
    "model",
)
PREPROCESS = histogram(
    "nexus_backend_preprocess_seconds", "Preparing one dispatch for the device.", "session"
)
POSTPROCESS = histogram(
    "nexus_backend_postprocess_seconds", "Turning one dispatch's outputs into results.", "session"
)
BACKEND_PLAN_VERSION = gauge("nexus_backend_plan_version", "Version of the newest plan acted on.")
BACKEND_STORE_UP = gauge("nexus_backend_store_up", "1 when the last call to the store succeeded.")

BACKEND = (
    BATCHES,
    BATCH_SIZE,
    EXECUTE,
    QUEUE_WAIT,
    QUEUE_LENGTH,
    DROPS,
    DEVICE_BUSY,
    BATCH_TARGET,
    DUTY_CYCLE,
    MEMORY,
    MODEL_LOAD,
    PROFILE_ERROR,
    PREPROCESS,
    POSTPROCESS,
    BACKEND_PLAN_VERSION,
    BACKEND_STORE_UP,
)

EPOCHS = counter("nexus_scheduler_epochs_total", "Plans made, by what caused them.", "trigger")
EPOCH_DURATION = histogram(
    "nexus_scheduler_epoch_duration_seconds",
    "Making one plan.",
    buckets=EPOCH_BUCKETS_S,
)
PLAN_VERSION = gauge("nexus_scheduler_plan_version", "Version of the plan last published.")
PLAN_DEVICES = gauge("nexus_scheduler_plan_devices", "Devices the plan uses.", "device")
PLAN_SPARES = gauge(
    "nexus_scheduler_plan_spares", "Idle devices that the plan keeps warm.", "device"
)
PLAN_DEVICES_NEEDED = gauge(
    "nexus_scheduler_plan_devices_needed",
    "Devices the load asks for, which may be more than there are.",
    "device",
)
LOWER_BOUND = gauge(
    "nexus_scheduler_lower_bound_devices",
    "Devices that no plan can do without: each session's rate over its best throughput.",
    "device",
)
INFEASIBLE = gauge(
    "nexus_scheduler_infeasible_sessions", "Sessions the plan cannot serve within their SLO."
)
SESSION_RATE = gauge(
    "nexus_scheduler_session_rate", "Estimated load, in items per second.", "session"
)
SESSION_PLANNED_RATE = gauge(
    "nexus_scheduler_session_planned_rate", "Planned capacity, in items per second.", "session"
)
SESSION_UNMET_RATE = gauge(
    "nexus_scheduler_session_unmet_rate",
    "Load that the devices at hand do not cover, in items per second.",
    "session",
)
SESSION_DEGRADED = gauge(
    "nexus_scheduler_session_degraded",
    "1 for a session that the plan serves by a cheaper variant of its model.",
    "session",
)
STAGE_FAN_OUT = gauge(
    "nexus_scheduler_stage_fan_out", "Calls of a stage per call of its parent.", "session"
)
STAGE_BUDGET = gauge(
    "nexus_scheduler_stage_budget_seconds", "A stage's share of its query's SLO.", "session"
)
CATALOGUE_DOUBTED = gauge(
    "nexus_scheduler_catalogue_doubted",
    "1 while everything declared has vanished from the store and the last of it is kept.",
)
LEADER = gauge("nexus_scheduler_leader", "1 on the scheduler that leads.")
LEASE_FENCE = gauge(
    "nexus_scheduler_lease_fence", "Fencing number of the lease held; 0 when not leading."
)
BACKENDS = gauge("nexus_scheduler_backends", "Live backends, by state.", "state")
PLAN_MOVES = counter(
    "nexus_scheduler_plan_moves_total", "Sessions a new plan loads on a backend that had them not."
)
SCHEDULER_STORE_UP = gauge(
    "nexus_scheduler_store_up", "1 when the last call to the store succeeded."
)

SCHEDULER = (
    EPOCHS,
    EPOCH_DURATION,
    PLAN_VERSION,
    PLAN_DEVICES,
    PLAN_SPARES,
    PLAN_DEVICES_NEEDED,
    LOWER_BOUND,
    INFEASIBLE,
    SESSION_RATE,
    SESSION_PLANNED_RATE,
    SESSION_UNMET_RATE,
    SESSION_DEGRADED,
    STAGE_FAN_OUT,
    STAGE_BUDGET,
    CATALOGUE_DOUBTED,
    LEADER,
    LEASE_FENCE,
    BACKENDS,
    PLAN_MOVES,
    SCHEDULER_STORE_UP,
)

ALL: tuple[MetricSpec, ...] = FRONTEND + BACKEND + SCHEDULER

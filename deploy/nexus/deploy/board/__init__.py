"""The Grafana dashboard as data, one file a row; `nexus.deploy.dashboard` renders it."""

from nexus.deploy.board import batching, control, devices, promises, queries
from nexus.deploy.board.panel import Row

ROWS: tuple[Row, ...] = (promises.ROW, queries.ROW, batching.ROW, devices.ROW, control.ROW)

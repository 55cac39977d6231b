"""The tables of the fleet."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from mezzotint.store.schema import Instant, Ordinal, metadata

fleets = Table(
    "fleets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("phase", String(12), nullable=False),
    Column("namespace", String(64), nullable=False),
    Column("ray_address", String(200), nullable=False),
    Column("version", String(40), nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("is_local", Boolean, nullable=False),
    Column("is_autoscaled", Boolean, nullable=False),
    Column("scaled", JSON, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("controller_node", String(100), nullable=False),
    Column("controller_seen_at", Instant),
    Column("changes", JSON, nullable=False, server_default="{}"),
)

fleet_rollouts = Table(
    "fleet_rollouts",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("old", String(40), nullable=False),  # version of the release that it replaces
    Column("version", String(40), nullable=False),
    Column("document", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("changes", JSON, nullable=False),
    Column("pools", JSON, nullable=False),
    Column("phase", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("baseline", JSON, nullable=False),  # worker -> [runs, failed runs] when it began
    sqlite_autoincrement=True,
)

regions = Table("regions", metadata, Column("name", String(64), primary_key=True))
"""The regions that gateways said; no row: they are not in use."""

fleet_targets = Table(
    "fleet_targets",
    metadata,
    Column("pool", String(40), primary_key=True),
    Column("num_workers", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

fleet_workers = Table(
    "fleet_workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pool", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("version", String(40), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("state", String(12), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("is_created", Boolean, nullable=False),
    Column("was_ready", Boolean, nullable=False),
    Column("is_drain_wanted", Boolean, nullable=False),
    Column("worker", String(64)),  # its name in `workers` and in leases
    Column("device", String(100), nullable=False),
    Column("node", String(100), nullable=False),
    Column("num_running", Integer, nullable=False),
    Column("num_runs", Integer, nullable=False, server_default="0"),
    Column("num_failed", Integer, nullable=False, server_default="0"),
    Column("seen_at", Instant),
    Index("fleet_workers_by_change", "changed_at"),
)

fleet_decisions = Table(
    "fleet_decisions",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("pool", String(40), nullable=False),
    Column("worker", String(64)),
    Column("action", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)

devices = Table(
    "devices",
    metadata,
    Column("device", String(120), primary_key=True),
    Column("verdict", String(12), nullable=False),
    Column("since", Instant, nullable=False),
    Column("signed_at", Instant),
    Column("num_quarantines", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

fleet_counts = Table(  # counted up for ever, whichever process counts
    "fleet_counts",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("label", String(40), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

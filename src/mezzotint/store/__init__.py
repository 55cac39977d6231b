"""The stores: rows in a database, bytes in an object store, events between processes."""

from mezzotint.store.accounts.keys import Keys
from mezzotint.store.accounts.tenants import Tenants
from mezzotint.store.accounts.users import Users
from mezzotint.store.database import Database
from mezzotint.store.events.changes import Changes
from mezzotint.store.events.event_bus import EventBus
from mezzotint.store.events.postgres_event_bus import PostgresEventBus
from mezzotint.store.facade import Store
from mezzotint.store.fleet.devices import Devices
from mezzotint.store.fleet.fleet_rows import FleetRows
from mezzotint.store.fleet.regions import Regions
from mezzotint.store.images import Images
from mezzotint.store.jobs import Jobs
from mezzotint.store.ledger import Ledger
from mezzotint.store.objects import Objects
from mezzotint.store.queue.candidates import WorkerOffer
from mezzotint.store.queue.pressure import read_pressure
from mezzotint.store.rate_buckets import LocalBuckets, RateBuckets, ValkeyBuckets
from mezzotint.store.refusals import KeptRefusal, Refusals
from mezzotint.store.retention import RetentionSweep
from mezzotint.store.safety.appeals import Appeals
from mezzotint.store.safety.audit import SafetyAudit
from mezzotint.store.safety.encrypted_objects import EncryptedObjects
from mezzotint.store.safety.overrides import Overrides
from mezzotint.store.safety.picture_audits import PictureAudits
from mezzotint.store.safety.recent_prompts import PromptPair, RecentPrompts
from mezzotint.store.safety.takedowns import Takedowns
from mezzotint.store.submissions import Submissions
from mezzotint.store.uploads import Uploads
from mezzotint.store.webhooks import Webhooks
from mezzotint.store.workers import DrainWish, WorkerHeartbeat, WorkerLabels, Workers, WorkerState, WorkerStatus

__all__ = [
    "Appeals",
    "Changes",
    "Database",
    "Devices",
    "DrainWish",
    "EncryptedObjects",
    "EventBus",
    "FleetRows",
    "Images",
    "Jobs",
    "KeptRefusal",
    "Keys",
    "Ledger",
    "LocalBuckets",
    "Objects",
    "Overrides",
    "PictureAudits",
    "PostgresEventBus",
    "PromptPair",
    "RateBuckets",
    "RecentPrompts",
    "Refusals",
    "Regions",
    "RetentionSweep",
    "SafetyAudit",
    "Store",
    "Submissions",
    "Takedowns",
    "Tenants",
    "Uploads",
    "Users",
    "ValkeyBuckets",
    "Webhooks",
    "WorkerHeartbeat",
    "WorkerLabels",
    "WorkerOffer",
    "WorkerState",
    "WorkerStatus",
    "Workers",
    "read_pressure",
]

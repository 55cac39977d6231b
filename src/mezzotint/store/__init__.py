"""Where things are kept: rows in a database, bytes in an object store, events between those who listen."""

from mezzotint.store.buckets import Buckets, LocalBuckets, ValkeyBuckets
from mezzotint.store.candidates import Seeker
from mezzotint.store.changes import Changes
from mezzotint.store.database import Database
from mezzotint.store.events import EventBus
from mezzotint.store.images import Images
from mezzotint.store.jobs import Jobs
from mezzotint.store.keys import Keys
from mezzotint.store.ledger import Ledger
from mezzotint.store.objects import Objects
from mezzotint.store.pressure import pressure
from mezzotint.store.refusals import Refusals
from mezzotint.store.relay import Relay
from mezzotint.store.retention import RetentionSweep
from mezzotint.store.sources import Sources
from mezzotint.store.submissions import Submissions
from mezzotint.store.tenants import Tenants
from mezzotint.store.users import Users
from mezzotint.store.webhooks import Webhooks
from mezzotint.store.workers import Workers

__all__ = [
    "Buckets",
    "Changes",
    "Database",
    "EventBus",
    "Images",
    "Jobs",
    "Keys",
    "Ledger",
    "LocalBuckets",
    "Objects",
    "Refusals",
    "Relay",
    "RetentionSweep",
    "Seeker",
    "Sources",
    "Submissions",
    "Tenants",
    "Users",
    "ValkeyBuckets",
    "Webhooks",
    "Workers",
    "pressure",
]

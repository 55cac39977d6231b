"""Where things are kept: rows in a database, bytes in an object store, events between those who listen."""

from mezzotint.store.database import Database
from mezzotint.store.events import EventBus
from mezzotint.store.images import Images
from mezzotint.store.jobs import Jobs
from mezzotint.store.objects import Objects

__all__ = ["Database", "EventBus", "Images", "Jobs", "Objects"]

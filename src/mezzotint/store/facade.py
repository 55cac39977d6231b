"""The tables of one database, each with what reads and writes it."""

from mezzotint.policy.retention import Retention
from mezzotint.store.accounts.keys import Keys
from mezzotint.store.accounts.passwords import Passwords
from mezzotint.store.accounts.tenants import Tenants
from mezzotint.store.accounts.users import Users
from mezzotint.store.database import Database
from mezzotint.store.events.changes import Changes
from mezzotint.store.fleet.counts import FleetCounts
from mezzotint.store.fleet.devices import Devices
from mezzotint.store.fleet.fleet_rows import FleetRows
from mezzotint.store.fleet.regions import Regions
from mezzotint.store.images import Images
from mezzotint.store.jobs import Jobs
from mezzotint.store.ledger import Ledger
from mezzotint.store.refusals import Refusals
from mezzotint.store.retention import RetentionSweep
from mezzotint.store.safety.appeals import Appeals
from mezzotint.store.safety.audit import SafetyAudit
from mezzotint.store.safety.held_images import HeldImages
from mezzotint.store.safety.overrides import Overrides
from mezzotint.store.safety.picture_audits import PictureAudits
from mezzotint.store.safety.recent_prompts import RecentPrompts
from mezzotint.store.safety.takedowns import Takedowns
from mezzotint.store.submissions import Submissions
from mezzotint.store.uploads import Uploads
from mezzotint.store.webhooks import Webhooks
from mezzotint.store.workers import Workers


class Store:
    """retention: bounds of the rows that tenants leave behind. passwords: how users' passwords are hashed."""

    def __init__(
        self, database: Database, retention: Retention | None = None, passwords: Passwords | None = None
    ) -> None:
        retention = retention or Retention()
        self.database = database
        self.appeals = Appeals(database)
        self.changes = Changes(database)
        self.fleet = FleetRows(database)
        self.fleet_counts = FleetCounts(database)
        self.devices = Devices(database)
        self.held_images = HeldImages(database)
        self.images = Images(database)
        self.jobs = Jobs(database)
        self.keys = Keys(database)
        self.ledger = Ledger(database)
        self.overrides = Overrides(database)
        self.picture_audits = PictureAudits(database)
        self.recent_prompts = RecentPrompts(database)
        self.refusals = Refusals(database, retention)
        self.regions = Regions(database)
        self.retention_sweep = RetentionSweep(database, retention)
        self.safety_audit = SafetyAudit(database)
        self.submissions = Submissions(database)
        self.takedowns = Takedowns(database)
        self.tenants = Tenants(database)
        self.uploads = Uploads(database)
        self.users = Users(database, passwords)
        self.webhooks = Webhooks(database)
        self.workers = Workers(database)

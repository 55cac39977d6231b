"""A request remembered, so that a repetition of it finds the jobs it made instead of making them again."""

from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.ids import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """The mark by which a repetition of a request is known.

    name: of the client's own key, or of the request's content. body: hash of the content.
    has_key: whether the client named it; then other content under the same name is a mistake.
    is_retry: the client says that it sends this again, so that jobs that ended meanwhile are what it asks for.
    series: begins the names of all tries of one content, where each first try makes jobs of its own; "" elsewhere.
    num_retries: how often the client says that it sent this before.
    """

    name: str
    body: str
    expires_at: datetime
    has_key: bool
    is_retry: bool = False
    series: str = ""
    num_retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The jobs that a request became, under the name of that request."""

    name: str
    body: str
    jobs: tuple[JobId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyOpen:
    """The request was not carried out: with its jobs the tenant would have more open ones than it may.

    num_open: those it had.
    """

    num_open: int

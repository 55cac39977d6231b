"""Ask a cloud's metadata server whether this machine is about to be taken away (a spot or preemptible instance).

AWS answers `spot/instance-action` with 404 until about two minutes before the end; since IMDSv2 each request bears a
session token. Google answers `instance/preempted` with FALSE, and TRUE about 30 s before the end.
Sources: docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html,
cloud.google.com/compute/docs/instances/create-use-preemptible#detecting_if_an_instance_was_preempted.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType

import httpx
import structlog

log = structlog.get_logger()
TOKEN_PATH, ACTION_PATH = "/latest/api/token", "/latest/meta-data/spot/instance-action"
TOKEN_TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
TOKEN_S = 21_600
PREEMPTED_PATH = "/computeMetadata/v1/instance/preempted"
FLAVOR = {"Metadata-Flavor": "Google"}
MAX_BYTES = 4096
TIMEOUT_S = 2.0


class Cloud(StrEnum):
    AWS = "aws"
    GCP = "gcp"


ADDRESSES: Mapping[Cloud, str] = MappingProxyType(
    {Cloud.AWS: "http://169.254.169.254", Cloud.GCP: "http://metadata.google.internal"}
)
"""Link-local addresses of the metadata servers; they are the same on every machine of a cloud."""
EVERY_S: Mapping[Cloud, float] = MappingProxyType({Cloud.AWS: 5.0, Cloud.GCP: 1.0})
"""Each cloud is asked so often: a fraction of its notice."""


class NoMetadata(Exception):
    """The metadata server does not answer, or answers as another server would."""


@dataclass(slots=True, kw_only=True)
class SpotPoller:
    """on_notice: called once, with the notice in words. address: of the metadata server."""

    cloud: Cloud
    client: httpx.AsyncClient
    on_notice: Callable[[str], Awaitable[None]]
    address: str = ""
    _token: str | None = None
    _is_told: bool = False
    _is_silent: bool = False

    def __post_init__(self) -> None:
        self.address = (self.address or ADDRESSES[self.cloud]).rstrip("/")

    async def look(self) -> None:
        """Ask once. A server that does not answer is logged once, and asked again."""
        if self._is_told:
            return
        try:
            notice = await (self._ask_aws() if self.cloud is Cloud.AWS else self._ask_gcp())
        except (NoMetadata, httpx.HTTPError) as error:
            if not self._is_silent:
                log.warning("no answer about spot notices", cloud=self.cloud, why=f"{type(error).__name__}: {error}")
            self._is_silent = True
            return
        self._is_silent = False
        if notice is not None:
            self._is_told = True
            await self.on_notice(notice)

    async def _ask_aws(self) -> str | None:
        if self._token is None:
            status, token = await self._request("PUT", TOKEN_PATH, {TOKEN_TTL: str(TOKEN_S)})
            if status != HTTPStatus.OK:
                raise NoMetadata(f"{TOKEN_PATH} answered {status}")
            self._token = token
        status, text = await self._request("GET", ACTION_PATH, {TOKEN: self._token})
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status == HTTPStatus.UNAUTHORIZED:  # the token has run out
            self._token = None
            raise NoMetadata("the session token was refused")
        if status != HTTPStatus.OK:
            raise NoMetadata(f"{ACTION_PATH} answered {status}")
        try:
            said = json.loads(text)
            return f"the cloud will {said['action']} this machine at {said['time']}"
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise NoMetadata(f"{ACTION_PATH} answered something else") from error

    async def _ask_gcp(self) -> str | None:
        status, text = await self._request("GET", PREEMPTED_PATH, FLAVOR)
        if status != HTTPStatus.OK or text.strip().upper() not in ("TRUE", "FALSE"):
            raise NoMetadata(f"{PREEMPTED_PATH} answered {status}")
        return "the cloud preempts this machine" if text.strip().upper() == "TRUE" else None

    async def _request(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        """Status and text; redirects are not followed."""
        async with self.client.stream(method, self.address + path, headers=dict(headers)) as response:
            if self.cloud is Cloud.GCP and response.headers.get("Metadata-Flavor") != FLAVOR["Metadata-Flavor"]:
                raise NoMetadata("no metadata server of Google's answered")
            data = bytearray()
            async for chunk in response.aiter_bytes(MAX_BYTES):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise NoMetadata("the answer is too long")
            return response.status_code, data.decode(errors="replace")


def make_metadata_client() -> httpx.AsyncClient:
    """A client that asks no proxy and follows nothing."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)

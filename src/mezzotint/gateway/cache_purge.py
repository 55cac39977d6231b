"""Order caches in front of the server, such as a CDN, to drop pictures that were taken down.

The order is a signed message to the operator's URL, as webhooks are: `mezzotint takedown secret` prints the key.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.safety.takedown import Takedown
from mezzotint.gateway.safe_http import PublicOnlyClient, Unreachable
from mezzotint.gateway.webhook_delivery import sign_message, write_secret
from mezzotint.policy.redelivery import is_accepted

PURPOSE = "cache purge"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePurger:
    """base_url: what clients put before a path, without a slash at its end. derive: as of `WebhookSender`."""

    url: str
    base_url: str
    http_client: PublicOnlyClient
    derive: Callable[[str], bytes]
    now: Callable[[], datetime]

    async def purge(self, takedown: Takedown, paths: Sequence[str]) -> str | None:
        """Send one order. Returns why it was not taken; None: it was."""
        message = {
            "type": "pictures.taken_down",
            "timestamp": self.now().isoformat(),
            "data": {"takedown": takedown.id, "urls": [f"{self.base_url}{path}" for path in paths]},
        }
        body = json.dumps(message).encode()
        id = f"purge_{hashlib.sha256(f'{takedown.id} {paths}'.encode()).hexdigest()[:24]}"  # the same when retried
        try:
            status = await self.http_client.post(
                self.url, sign_message(self.derive(PURPOSE), id, self.now(), body), body
            )
        except Unreachable as error:
            return "".join(letter if letter.isprintable() else "?" for letter in str(error)[:200])
        return None if is_accepted(status) else f"It answered {status}."


def purge_secret(derive: Callable[[str], bytes]) -> str:
    """The key with which the receiver checks orders."""
    return write_secret(derive(PURPOSE))

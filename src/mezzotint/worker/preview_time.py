"""Measure what previews take of a device, and leave them out where that is more than their share."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mezzotint.policy.device.preview_credit import PreviewCredit, earn, spend

if TYPE_CHECKING:
    from mezzotint.engine import Hub
    from mezzotint.engine.device.clock import Span


@dataclass(slots=True)
class _Account:
    """running: previews whose time the device has not told yet."""

    credit: PreviewCredit = field(default_factory=PreviewCredit)
    running: "deque[Span]" = field(default_factory=deque)

    def settle(self) -> None:
        while self.running and (spent_s := self.running[0].seconds()) is not None:
            self.running.popleft()
            self.credit = spend(self.credit, spent_s)


class PreviewTime:
    """The time of the previews of each model, by its hub. For the device's thread alone."""

    def __init__(self) -> None:
        self._accounts: WeakKeyDictionary[Hub, _Account] = WeakKeyDictionary()

    def draw(self, hub: "Hub", preview: Callable[[], Any]) -> Any:
        """Call `preview` and count what it takes; None where the model's previews have had their share."""
        from mezzotint.engine.device.clock import Span, clock_of

        account = self._accounts.setdefault(hub, _Account())
        account.settle()
        account.credit = earn(account.credit, hub.pass_s)
        if account.credit.left_s <= 0:
            return None
        clock = clock_of(hub.device)
        begun = clock.mark()
        picture = preview()
        account.running.append(Span(clock, begun, clock.mark()))
        account.settle()
        return picture

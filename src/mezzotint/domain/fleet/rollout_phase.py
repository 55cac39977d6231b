"""The phases of a rollout, in one table; `docs/states.md` is made from it."""

from enum import StrEnum


class RolloutPhase(StrEnum):
    ROLLING = "rolling"
    GOING_BACK = "going back"
    DONE = "done"
    WENT_BACK = "went back"

    @property
    def is_final(self) -> bool:
        return not ROLLOUT_TRANSITIONS[self]


ROLLOUT_TRANSITIONS: dict[RolloutPhase, dict[RolloutPhase, str]] = {
    RolloutPhase.ROLLING: {
        RolloutPhase.DONE: "every worker has the new version, and the last of them proved itself",
        RolloutPhase.GOING_BACK: "the new workers fail more often than the old ones, do not get ready, cannot use the "
        "database, or an operator",
        RolloutPhase.WENT_BACK: "the fleet ended meanwhile: its release stays the old one",
    },
    RolloutPhase.GOING_BACK: {
        RolloutPhase.WENT_BACK: "every worker has the old version again",
    },
    RolloutPhase.DONE: {},
    RolloutPhase.WENT_BACK: {},
}

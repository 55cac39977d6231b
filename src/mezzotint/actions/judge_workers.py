"""Judge the health of all workers by what they report, and let those whose device is quarantined end."""

from datetime import datetime

import structlog

from mezzotint.domain.fleet.health import HealthVerdict
from mezzotint.metrics import Metrics
from mezzotint.policy.fleet.health import HEALTH_RULES, HealthRecord, HealthRules, WorkerVitals, judge_health
from mezzotint.policy.fleet.vitals import read_vitals
from mezzotint.store import Devices, Workers

log = structlog.get_logger()


async def judge_workers(
    workers: Workers, devices: Devices, metrics: Metrics, now: datetime, rules: HealthRules = HEALTH_RULES
) -> None:
    """Every process that maintains the queue may do it; of two at once one writes. Raises: StorageUnavailable."""
    everybody = await devices.read_workers(now)
    records = await devices.read_records()
    by_device = {one.device: one for one in everybody if one.is_here(now) and not one.has_stopped}
    resting = {device for device, record in records.items() if record.verdict is HealthVerdict.QUARANTINED}
    for device in sorted(resting | set(by_device)):
        before, worker = records.get(device), by_device.get(device)
        vitals = WorkerVitals() if worker is None else read_vitals(worker, everybody, now)
        judgement = judge_health(before or HealthRecord(since=now), vitals, now, rules)
        after = judgement.record
        if after == before or (before is None and after.verdict is HealthVerdict.HEALTHY):
            continue
        if await devices.keep(device, before, after, judgement.reason):
            _tell(metrics, device, before, after, judgement.reason)
            if after.verdict is HealthVerdict.QUARANTINED and worker is not None:
                await workers.want_end(worker.id, now, f"its device is quarantined: {judgement.reason}"[:200])


def _tell(metrics: Metrics, device: str, before: HealthRecord | None, after: HealthRecord, reason: str) -> None:
    if before is None or before.verdict is not after.verdict:
        metrics.health_verdicts.labels(verdict=after.verdict).inc()
        log.warning("health of a device", device=device, verdict=after.verdict, why=reason)

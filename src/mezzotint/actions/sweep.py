"""What a crash between two writes leaves behind is removed at the next start."""

from datetime import datetime

from mezzotint.actions.finish import Desk


async def sweep(desk: Desk, before: datetime | None = None) -> int:
    """Delete checkpoints that no open job can go on from. Returns how many.

    before: only those written before it; an hour back where workers run, which write bytes before their row.
    """
    left = await desk.objects.keys("checkpoints/", before)
    wanted = await desk.jobs.open_checkpoint_keys()
    left = [key for key in left if key not in wanted]
    await desk.objects.delete(left)
    await desk.jobs.drop_checkpoints_of_ended()
    return len(left)

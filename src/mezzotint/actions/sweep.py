"""What a crash between two writes leaves behind is removed at the next start."""

from mezzotint.actions.finish import Desk


async def sweep(desk: Desk) -> int:
    """Delete checkpoints that no open job can go on from. Only while no worker runs. Returns how many."""
    wanted = await desk.jobs.open_checkpoint_keys()
    left = [key for key in await desk.objects.keys("checkpoints/") if key not in wanted]
    await desk.objects.delete(left)
    await desk.jobs.drop_checkpoints_of_ended()
    return len(left)

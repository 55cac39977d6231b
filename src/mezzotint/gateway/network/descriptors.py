"""File descriptors: each connection takes one, and many systems begin with 1,024 of them for a process."""

import structlog

log = structlog.get_logger()
MOST = 1_048_576
"""Used if the system says "unlimited", which it does not mean."""
WITHOUT_LIMIT = 8192
"""Assumed on systems that tell no limit."""
MOST_CONNECTIONS = 10_000
MOST_BACKLOG = 2048


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit to its hard limit. Returns how many descriptors it may have open."""
    try:
        import resource
    except ImportError:  # on Windows
        return WITHOUT_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # macOS has a lower bound that it does not tell
        log.warning("the limit of open files stays as it is", limit=soft, why=str(error))
        return soft
    return wanted


def share_descriptors(limit: int) -> tuple[int, int]:
    """The most connections that are open at once, and the most that wait to be accepted (they are, all together).

    What is left is for the database, files and threads.
    """
    return min(MOST_CONNECTIONS, limit // 2), min(MOST_BACKLOG, max(16, limit // 8))

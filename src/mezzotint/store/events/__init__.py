"""Events of jobs: the bus inside one process, the bus between processes, and the durable log of changes."""

"""A fleet of workers on several machines: its pools, the states of its workers, their health, a rollout."""

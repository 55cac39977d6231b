"""The fair queue: enqueue, claim, transitions between states, and the accounts that they change."""

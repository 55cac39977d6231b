"""Rows of the safety system: changes of the policy in use, appeals, takedowns and the blocklist."""

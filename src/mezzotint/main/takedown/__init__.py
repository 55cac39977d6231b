"""Takedowns and audits of pictures: their commands, and what `serve` and `worker` share with them."""

"""The fleet on Ray: a controller and workers as actors. Nothing else imports ray, and this only where it is used."""

"""Commands of admins over the safety policy in use, and the parts that they share with the server."""

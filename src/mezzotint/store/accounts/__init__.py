"""Tenants, users with their sessions, API keys and password hashes."""

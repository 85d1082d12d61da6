"""Helpers that the tests of the producer outbox share."""

"""What tests of the producer outbox share."""

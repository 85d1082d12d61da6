"""Routes and models of batches of notifications."""

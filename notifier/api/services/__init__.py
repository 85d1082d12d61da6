"""`/v1/services`: the services of the instance."""

"""From a request to durable rows: validate, build, write. Start with `notification_submitter.py`."""

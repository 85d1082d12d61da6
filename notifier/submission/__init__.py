"""From a request to stored rows: validate, build, write. Start with `notification_submitter.py`."""

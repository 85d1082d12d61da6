"""Pages that need no key: the start page, the documentation of the API, and the explanations of error codes.

They are the same for everyone until the next release, so each is built once, and has an ETag. They hold no secret.
"""

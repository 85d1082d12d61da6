"""The durable queue: take work in, claim it under a lease, settle it. It knows nothing of e-mail.

Read in trip order: `intake`, `store` (all queue SQL), `worker`, `handler`, `settler`.
"""

"""The durable queue: claim entries under a lease, work on them, settle them. It knows nothing of e-mail.

Read in trip order: `entry_store` (enqueue), `worker`, `claimer`, `entry_handler`, `marker`, `journal`, `settler`; then
`heartbeat` and `rescuer` for dead senders. The SQL is in `claim_sql` and `queue_sql`.
"""

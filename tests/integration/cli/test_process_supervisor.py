"""The pipe between the supervisor of senders and each sender."""

import threading

from notifier.cli.process_supervisor import ProcessSupervisor

MORE_THAN_A_PIPE_HOLDS = 70_000


def test_wake_ups_that_nobody_reads_never_block() -> None:
    """While a sender is starting or hangs, wake-ups fill its pipe, and the rest of them is left out."""
    supervisor = ProcessSupervisor(1)

    def wake_often() -> None:
        for _ in range(MORE_THAN_A_PIPE_HOLDS):
            supervisor.wake()

    thread = threading.Thread(target=wake_often, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    supervisor.close_after_fork()

"""What a task may have to know about its own end."""

from __future__ import annotations

import asyncio


def was_cancelled() -> bool:
    """True if somebody cancelled the task that runs now.

    A CancelledError without that comes from a library, which cancelled a future of its own (aiokafka does, when a
    broker goes away): it is a failure like others. A task group would take it for an orderly end.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

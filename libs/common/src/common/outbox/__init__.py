"""The outbox: an event is stored in the transaction of the change that it tells of, and sent afterwards."""

from common.outbox.publish import publish

__all__ = ["publish"]

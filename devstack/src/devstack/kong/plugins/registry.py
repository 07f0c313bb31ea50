"""Makes one of each plugin for a node."""

from __future__ import annotations

from devstack.kong.plugins import ORDER
from devstack.kong.plugins.access_control import Acl, IpRestriction, RequestSizeLimiting
from devstack.kong.plugins.base import Node, Plugin
from devstack.kong.plugins.cors import Cors
from devstack.kong.plugins.file_log import FileLog
from devstack.kong.plugins.functions import PostFunction, PreFunction
from devstack.kong.plugins.http_log import HttpLog
from devstack.kong.plugins.key_auth import KeyAuth
from devstack.kong.plugins.rate_limiting import RateLimiting
from devstack.kong.plugins.simple import CorrelationId, Prometheus, RequestTermination
from devstack.kong.plugins.transformers import RequestTransformer, ResponseTransformer

_ALL: tuple[type[Plugin], ...] = (
    PreFunction,
    CorrelationId,
    Cors,
    KeyAuth,
    IpRestriction,
    RequestSizeLimiting,
    Acl,
    RateLimiting,
    RequestTransformer,
    ResponseTransformer,
    Prometheus,
    HttpLog,
    FileLog,
    RequestTermination,
    PostFunction,
)


def make_plugins(node: Node) -> list[Plugin]:
    """One of each, in the order in which they run."""
    made = {plugin.name: plugin(node) for plugin in _ALL}
    return [made[name] for name in ORDER]

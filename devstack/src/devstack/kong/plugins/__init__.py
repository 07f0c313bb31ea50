"""The plugins, and the order in which Kong runs them."""

PRIORITIES = {
    "pre-function": 1000000,
    "correlation-id": 100001,
    "cors": 2000,
    "key-auth": 1250,
    "ip-restriction": 990,
    "request-size-limiting": 951,
    "acl": 950,
    "rate-limiting": 910,
    "request-transformer": 801,
    "response-transformer": 800,
    "prometheus": 13,
    "http-log": 12,
    "file-log": 9,
    "request-termination": 2,
    "post-function": -1000,
}
ORDER = tuple(sorted(PRIORITIES, key=lambda name: -PRIORITIES[name]))

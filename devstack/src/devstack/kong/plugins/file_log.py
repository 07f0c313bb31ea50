"""file-log: a line of JSON for each request, written before the answer's last byte leaves."""

from __future__ import annotations

import os
import sys

from devstack.kong.exchange import Exchange
from devstack.kong.index import Instance
from devstack.kong.logentry import encode_entry
from devstack.kong.plugins.base import Node, Plugin
from devstack.kong.plugins.functions import apply_custom_fields


class FileLog(Plugin):
    name = "file-log"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._files: dict[str, int] = {}

    def log(self, exchange: Exchange, instance: Instance) -> None:
        apply_custom_fields(self.node, exchange, instance)
        line = encode_entry(exchange, self.node.workspace) + b"\n"
        path = instance.config["path"]
        try:
            if instance.config["reopen"] and path in self._files:
                os.close(self._files.pop(path))
            if path not in self._files:
                self._files[path] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.write(self._files[path], line)  # in the page cache: a killed process does not lose it
        except OSError as error:
            print(f"failed to write to {path}: {error}", file=sys.stderr, flush=True)

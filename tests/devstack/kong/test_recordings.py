"""No recording is forgotten."""

from __future__ import annotations

from pathlib import Path

from .recorded import names, needs_recordings


@needs_recordings
def test_every_recording_is_replayed() -> None:
    replays = "".join(path.read_text() for path in Path(__file__).parent.glob("test_recorded_*.py"))
    groups = ("06", "080", "30", "320")  # replayed by what their names begin with
    forgotten = [
        name
        for name in names()
        if name not in replays
        and f'"{name[:3]}"' not in replays
        and not name.startswith(groups)
        and not name.startswith(
            ("154-proxy-rl-redis-", "155-proxy-rl-cluster-", "178-proxy-logbatch-", "207-dbless-proxy-key-")
        )
    ]
    assert forgotten == []

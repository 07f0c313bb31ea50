"""No recording is forgotten: each is replayed, or left out for a reason."""

from __future__ import annotations

from pathlib import Path

from .recorded import LEFT_OUT, names, needs_recordings


@needs_recordings
def test_every_recording_is_replayed_or_left_out_on_purpose() -> None:
    replays = "".join(path.read_text() for path in Path(__file__).parent.glob("test_recorded_*.py"))
    groups = ("06", "080", "30", "320")  # replayed by what their names begin with
    forgotten = [
        name
        for name in names()
        if name[:3] not in LEFT_OUT
        and name not in replays
        and f'"{name[:3]}"' not in replays
        and not name.startswith(groups)
        and not name.startswith(("154-proxy-rl-redis-", "155-proxy-rl-cluster-", "178-proxy-logbatch-"))
    ]
    assert forgotten == []

"""`python -m tests.architecture` (or `make check`): format, lint, types, imports and the house rules, side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SOURCES = ["libs", "services", "devstack", "tests", "docs/generate.py"]
STEPS = {  # the longest first
    "types": [sys.executable, "-m", "mypy", *SOURCES],
    "rules": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/architecture"],
    "imports": [str(BIN / "lint-imports"), "--no-cache"],
    "format": [sys.executable, "-m", "ruff", "format", "--check", ".", "marketplace"],
    "lint": [sys.executable, "-m", "ruff", "check", ".", "marketplace"],
}


def start(command: list[str], written: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": ""}  # noqa: TID251 - handed on, not read
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=written, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )


def show(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's output


def main() -> int:
    """Run every step, show what the failed ones wrote, and return 1 if one failed."""
    started, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        for name, command in STEPS.items():
            written = (Path(folder) / name).open("w+b")
            running[name] = (start(command, written), written)
        while running:
            ended = [name for name, (process, _) in running.items() if process.poll() is not None]
            if not ended:
                time.sleep(0.05)
                continue
            process, written = running.pop(ended[0])
            failed |= process.returncode
            verdict = "failed" if process.returncode else "ok"
            show(f"{ended[0]}: {verdict} after {time.monotonic() - started:.0f} s")
            if process.returncode:
                written.seek(0)
                show(written.read().decode("utf-8", "replace"))
            written.close()
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())

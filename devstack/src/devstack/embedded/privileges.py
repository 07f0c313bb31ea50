"""PostgreSQL refuses to run as root, so as root its files lie where `nobody` may walk and it runs as `nobody`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import tempfile
from pathlib import Path

UNPRIVILEGED_USER = "nobody"


def is_root() -> bool:
    """True when this process runs as root."""
    return os.geteuid() == 0


def unprivileged_user() -> str | None:
    """The user that PostgreSQL must run as, or None when the current one will do."""
    return UNPRIVILEGED_USER if is_root() else None


def data_root(run: Path) -> Path:
    """Where the embedded servers of the stack whose `.run` folder is `run` keep their data.

    Inside it for an ordinary user. For root a folder outside, named by its path: a clone under /root cannot be
    entered by `nobody`. It lies below /var/tmp, which survives a reboot.
    """
    if not is_root():
        return run / "data"
    name = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:12]
    base = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())
    return base / f"marketplace-{name}"


def make_data_root(path: Path) -> None:
    """The data folder exists. As root, `nobody` may pass through it but not look around. RuntimeError if not ours.

    It lies where everybody may write: a link or a folder that somebody else put there would lead us astray.
    """
    if not is_root():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        return
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o711)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise RuntimeError(f"{path} must be a folder, not a link: remove it.") from error
    try:
        if os.fstat(descriptor).st_uid != 0:
            raise RuntimeError(f"{path} belongs to another user: remove it.")
        os.fchmod(descriptor, 0o711)
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> Path:
    """The folder `path` exists and is for its owner only."""
    path.mkdir(exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def own_by_unprivileged(path: Path) -> None:
    """Give `path` and all below it to the unprivileged user; does nothing for an ordinary user."""
    if not is_root():
        return
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            os.lchown(Path(folder) / name, user.pw_uid, user.pw_gid)


def walkable(path: Path) -> bool:
    """True when every folder from the root down to `path` may be entered by anybody."""
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents] if folder.is_dir())


def readable_copy(source: Path, target: Path) -> Path:
    """A copy of the folder `source` that the unprivileged user may read; `source` itself when it already may."""
    if not is_root() or walkable(source.resolve()):
        return source
    if not target.exists():
        part = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part, symlinks=True)
        part.chmod(0o755)
        try:
            part.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(part, ignore_errors=True)
    return target

"""Print the locked lines (version and hashes) of what one service, and the common library, name as dependencies.

`python direct_requirements.py ROOT SERVICE`. What those need in turn comes from the whole lock as constraints, hashes
included, so an image holds nothing that its service does not need and nothing that is not in the lock:

    uv pip install --require-hashes -r <this output> -c requirements.lock

Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

OWN = "marketplace-"
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^\]]*\])?")


def named_by(project: Path) -> dict[str, str]:
    """The third-party dependencies of a member: normalised name → extras ("[asyncio]" or "")."""
    found = {}
    for line in tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]:
        match = _REQUIREMENT.match(line)
        if match is None:
            raise SystemExit(f"{project}: {line!r} is no requirement")
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        if not name.startswith(OWN):
            found[name] = match["extras"] or ""
    return found


def locked_blocks(lock: str) -> dict[str, str]:
    """Each package's lines in the lock, by name."""
    blocks = [block for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock) if "==" in block]
    return {block.split("==", 1)[0]: block for block in blocks}


def direct_requirements(root: Path, service: str) -> str:
    """The lock's lines for everything that `service` and the common library name, extras added."""
    wanted: dict[str, str] = {}
    for member in ("libs/common", f"services/{service}"):
        for name, extras in named_by(root / member / "pyproject.toml").items():
            wanted[name] = wanted.get(name, "") or extras
    blocks = locked_blocks((root / "requirements.lock").read_text(encoding="utf-8"))
    if missing := sorted(set(wanted) - set(blocks)):
        raise SystemExit(f"requirements.lock lacks {', '.join(missing)}")
    return "".join(blocks[name].replace(name, name + extras, 1) for name, extras in sorted(wanted.items()))


if __name__ == "__main__":
    sys.stdout.write(direct_requirements(Path(sys.argv[1]), sys.argv[2]))

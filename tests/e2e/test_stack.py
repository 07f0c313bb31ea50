"""The stack as its user sees it: what is written for outside checks, what survives, what a stop leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.e2e.conftest import ROOT, Stack

pytestmark = pytest.mark.e2e
SERVICES = {"accounts", "catalog", "subscriptions", "metering", "billing", "kong-sync"}


def get(url: str, token: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(url, headers=headers, timeout=10)


def test_the_stack_file_says_what_outside_checks_need_and_is_private(stack: Stack) -> None:
    file = stack.file
    assert set(file["services"]) == SERVICES
    assert file["services"]["metering"]["ingest_token"]
    assert set(file["tokens"]) == {"admin", "provider", "consumer"}
    assert set(file["postgres"]["databases"]) == SERVICES
    assert all({"url", "worker_url"} == set(urls) for urls in file["postgres"]["databases"].values())
    assert {"admin_url", "proxy_url"} <= set(file["kong"])
    assert file["kafka"]["bootstrap_servers"]
    assert file["redis"]["url"]
    assert file["stripe"]["url"]
    assert file["oidc"]["issuer"]
    for name in ("stack.json", "secrets.json"):
        assert stat.S_IMODE((stack.run / name).stat().st_mode) == 0o600


def test_every_service_is_healthy_and_documented_without_another_origin(stack: Stack) -> None:
    for name, service in stack.file["services"].items():
        url = service["url"]
        assert get(f"{url}/livez").status_code == 200
        assert get(f"{url}/readyz").status_code == 200
        assert get(f"{url}/health").json()["status"] == "ok", name
        assert "marketplace_http_requests_total" in get(f"{url}/metrics").text
        assert "cdn." not in get(f"{url}/docs").text


def test_the_sample_call_that_is_printed_works(stack: Stack) -> None:
    sample = stack.file["sample"]
    assert httpx.get(sample["url"], headers={"X-API-Key": sample["key"]}).status_code == 200
    refused = httpx.get(sample["url"], headers={"X-API-Key": "nonsense"})
    assert (refused.status_code, refused.json()["code"]) == (401, "INVALID_API_KEY")


def test_a_fresh_token_is_all_that_the_token_command_prints(stack: Stack) -> None:
    token = stack.must("token", "provider").strip()
    assert "\n" not in token
    assert get(f"{stack.file['services']['catalog']['url']}/v1/provider/apis", token).status_code == 200


def test_a_second_up_finds_the_running_stack(stack: Stack) -> None:
    before = stack.state["supervisor"]
    stack.must("up", "--detach")
    assert stack.state["supervisor"] == before


def test_with_accounts_stopped_the_others_go_on(stack: Stack) -> None:
    file = stack.file
    consumer, catalog = file["tokens"]["consumer"], file["services"]["catalog"]["url"]
    accounts = stack.state["processes"]["accounts"]["pid"]
    os.kill(accounts, signal.SIGSTOP)  # still there, and answers nothing
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{file['services']['accounts']['url']}/livez", timeout=1)
        assert get(f"{catalog}/v1/apis").status_code == 200
        for service, path in (
            ("subscriptions", "subscriptions"),
            ("metering", "usage/quota"),
            ("billing", "invoices"),
        ):
            answer = get(f"{file['services'][service]['url']}/v1/{path}", consumer)
            assert answer.status_code == 200, answer.text
        sample = file["sample"]
        assert httpx.get(sample["url"], headers={"X-API-Key": sample["key"]}).status_code == 200
    finally:
        os.kill(accounts, signal.SIGCONT)


def test_a_crashed_process_is_restarted_and_it_is_said(stack: Stack) -> None:
    _kill_and_await(stack, "catalog")
    assert any("catalog ended (signal SIGKILL)" in line for line in stack.state["lines"])


def test_a_broker_that_forgot_everything_is_named_and_the_demo_goes_on(stack: Stack) -> None:
    _kill_and_await(stack, "kafka")
    stack.demo()
    assert '"event": "broker.replaced"' in (stack.run / "logs" / "metering.log").read_text()


def _kill_and_await(stack: Stack, name: str) -> None:
    before = stack.state["processes"][name]
    os.kill(before["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        after = stack.state["processes"][name]
        if after["pid"] != before["pid"] and after["ready"]:
            assert after["restarts"] == before["restarts"] + 1
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} did not come back")


def test_down_leaves_no_process_and_no_port_and_up_finds_everything_again(stack: Stack) -> None:
    file, processes = stack.file, stack.state["processes"] | {"supervisor": stack.state["supervisor"]}
    catalog = file["services"]["catalog"]["url"]
    apis = get(f"{catalog}/v1/apis?limit=100").json()["total"]
    invoices = get(
        f"{file['services']['billing']['url']}/v1/ledger/trial-balance", file["tokens"]["admin"]
    ).json()
    stack.must("down")
    for process in processes.values():
        assert not _alive(process["pid"]), process
    assert _open_ports(stack.run) == []
    assert not (stack.run / "stack.json").exists()
    # Another program takes a port meanwhile: people are known by issuer and subject, not by where the issuer listens.
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", urlsplit(file["oidc"]["issuer"]).port or 0))
        taken.listen()
        stack.must("up", "--detach")
    assert stack.file["oidc"] != file["oidc"]
    file = stack.file
    assert get(f"{file['services']['catalog']['url']}/v1/apis?limit=100").json()["total"] == apis
    again = get(
        f"{file['services']['billing']['url']}/v1/ledger/trial-balance", file["tokens"]["admin"]
    ).json()
    assert again == invoices
    stack.demo()


def test_a_killed_supervisor_leaves_nothing_behind_at_the_next_start(stack: Stack) -> None:
    orphans = stack.state["processes"]
    os.kill(stack.state["supervisor"]["pid"], signal.SIGKILL)
    time.sleep(0.5)
    assert stack.command("status").returncode == 1
    stack.must("up", "--detach")
    for process in orphans.values():
        assert not _alive(process["pid"]), process
    sample = stack.file["sample"]
    assert httpx.get(sample["url"], headers={"X-API-Key": sample["key"]}).status_code == 200


@pytest.mark.parametrize("moment", ["launched", "starting", "ready"])
def test_ctrl_c_stops_everything_at_any_moment(tmp_path: Path, moment: str) -> None:
    other = Stack(tmp_path / ".run")
    with (tmp_path / "output").open("wb") as sink:
        up = subprocess.Popen(
            [sys.executable, "-m", "devstack", "up"], cwd=ROOT, stdout=sink, stderr=sink,
            env=os.environ | {"MARKETPLACE_RUN": str(other.run)},  # noqa: TID251 - passed on, not read
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not _reached(moment, up.pid, other, (tmp_path / "output").read_text()):
            assert up.poll() is None, (tmp_path / "output").read_text()
            assert time.monotonic() < deadline, other.logs()
            time.sleep(0.1)
        started = psutil.Process(up.pid).children(recursive=True)
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=60) == (0 if moment == "ready" else 130)
        assert [process for process in started if _alive(process.pid)] == []
        assert _open_ports(other.run) == []
    finally:
        if up.poll() is None:
            up.kill()
        other.command("reset")


def _reached(moment: str, pid: int, stack: Stack, output: str) -> bool:
    if moment == "launched":  # the supervisor exists and has said nothing yet
        return psutil.Process(pid).children() != []
    if moment == "starting":  # the first servers run, the services do not
        return (stack.run / "state.json").exists() and "postgres" in stack.state["processes"]
    return "Ctrl-C" in output


def _open_ports(run: Path) -> list[str]:
    """The parts of the stack whose ports still answer."""
    found: list[str] = []
    if not (run / "ports.json").exists():  # stopped before it chose any
        return found
    for name, port in json.loads((run / "ports.json").read_text()).items():
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                found.append(name)
    return found


def _alive(pid: int) -> bool:
    """A zombie that nobody collects is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False

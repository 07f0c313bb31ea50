import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import stripe

from tests.devstack.programs import Program

SECRET = "whsec_devstack"


@dataclass
class Receiver:
    """A webhook endpoint that verifies as the official library does, and keeps what it took."""

    events: list[dict[str, Any]] = field(default_factory=list)
    refuse: int = 0
    arrived: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def take(self, payload: bytes, header: str) -> int:
        stripe.WebhookSignature.verify_header(payload.decode(), header, SECRET, tolerance=300)
        with self.arrived:
            if self.refuse > 0:
                self.refuse -= 1
                self.arrived.notify_all()
                return 503
            self.events.append(json.loads(payload))
            self.arrived.notify_all()
            return 200

    def wait_for(self, kind: str, *, times: int = 1, seconds: float = 10) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            return [event for event in self.events if event["type"] == kind]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(found()) >= times, seconds), [
                e["type"] for e in self.events
            ]
            return found()


@pytest.fixture(scope="module")
def module_receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status = found.take(payload, self.headers["Stripe-Signature"])
            except stripe.SignatureVerificationError:
                status = 400
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def module_double(tmp_path_factory: pytest.TempPathFactory, module_receiver: Receiver) -> Iterator[Program]:
    arguments = [
        "--webhook-url",
        module_receiver.url,
        "--webhook-secret",
        SECRET,
        "--opening-balance",
        "none",
    ]
    program = Program("devstack.stripe", tmp_path_factory.mktemp("stripe"), arguments)
    program.start()
    try:
        yield program
    finally:
        program.stop()


@pytest.fixture
def double(module_double: Program) -> Program:
    """A double that knows nothing yet, with its webhook going to `receiver`."""
    if module_double.process is None or module_double.process.poll() is not None:
        module_double.start()
    httpx.post(f"{module_double.url}/__reset").raise_for_status()
    return module_double


@pytest.fixture
def receiver(double: Program, module_receiver: Receiver) -> Receiver:
    module_receiver.events.clear()
    module_receiver.refuse = 0
    return module_receiver


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A double without a webhook for the tests of a module that do not disturb each other."""
    program = Program("devstack.stripe", tmp_path_factory.mktemp("stripe"), ["--opening-balance", "none"])
    program.start()
    try:
        yield program
    finally:
        program.stop()


async def _client(url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.HTTPXClient(timeout=15)
    yield stripe.StripeClient(
        "sk_test_devstack", http_client=http, base_addresses={"api": url}, max_network_retries=0
    )
    await http.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
async def client(double: Program) -> AsyncIterator[stripe.StripeClient]:
    async for client in _client(double.url):
        yield client


@pytest.fixture
async def api(shared: Program) -> AsyncIterator[stripe.StripeClient]:
    async for client in _client(shared.url):
        yield client


@pytest.fixture
def control(double: Program) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=double.url) as client:
        yield client


@pytest.fixture
def shared_control(shared: Program) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url) as client:
        yield client

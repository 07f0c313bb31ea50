"""A real Apache Kafka (one node, KRaft) from the jars on Maven Central, where Java 17 and Maven are at hand.

The caller starts `command(...)` as a direct child and stops it by SIGTERM. Records, topics and the cluster id live in
the data folder and survive kill -9.
"""

import asyncio
import base64
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "4.3.1"
OLDEST_JAVA = 17
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_DOWNLOAD_SECONDS = 600
_FORMAT_SECONDS = 60

# Without the log4j binding the broker says nothing at all.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>devstack</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.4</version></dependency>
  </dependencies>
</project>
"""
_LOGGING = """status = error
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d kafka %p %m%n
"""
# After a kill the broker may register again only when its former session has run out: a short one starts sooner.
_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={log_dir}
num.partitions=4
auto.create.topics.enable=true
message.max.bytes={max_message_bytes}
replica.fetch.max.bytes={max_message_bytes}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
"""


class KafkaUnavailable(RuntimeError):
    """Apache Kafka cannot be fetched, formatted or reached; the text says why."""


def available(cache_dir: Path | None = None) -> str | None:
    """Why Apache Kafka cannot run here, or None if it can. Maven is not needed once the jars are in the cache."""
    if shutil.which("java") is None:
        return "there is no `java` on the PATH"
    described = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', described)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"Java {OLDEST_JAVA} or newer is needed; found {described.splitlines()[0] if described else 'nothing'}"
    if cache_dir is not None and _jars(cache_dir).is_dir():
        return None
    return None if shutil.which("mvn") else "there is no `mvn` on the PATH to fetch the jars with"


def prepare(cache_dir: Path) -> Path:
    """The folder of the jars below the cache, fetched by Maven the first time (44 MB, from where Maven is set to)."""
    jars = _jars(cache_dir)
    jars.parent.mkdir(parents=True, exist_ok=True)
    with _locked(jars.parent / "lock"):
        if jars.is_dir():
            return jars
        (jars.parent / "pom.xml").write_text(_POM)
        fresh = jars.with_name("lib.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fetch = [
            "mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={fresh}", "-DincludeScope=runtime",
        ]  # fmt: skip
        done = subprocess.run(
            fetch, cwd=jars.parent, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
        if done.returncode:
            raise KafkaUnavailable(
                f"Maven could not fetch Kafka {VERSION}: {done.stdout[-2000:]}{done.stderr[-500:]}"
            )
        # Renamed as the last step: a folder called lib is complete.
        fresh.rename(jars)
    return jars


def command(cache_dir: Path, data_dir: Path, port: int, controller_port: int) -> list[str]:
    """The broker's command line. The configuration is written anew; the storage is formatted if it never was."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    properties = data_dir / "server.properties"
    properties.write_text(
        _PROPERTIES.format(
            port=port,
            controller_port=controller_port,
            log_dir=data_dir / "log",
            max_message_bytes=MAX_MESSAGE_BYTES,
        )
    )
    logging = data_dir / "log4j2.properties"
    logging.write_text(_LOGGING)
    java = _java(prepare(cache_dir), logging, heap_megabytes=384)
    _format_once(data_dir, _java(prepare(cache_dir), logging, heap_megabytes=128), properties)
    return [*java, "kafka.Kafka", str(properties)]


def cluster_id(data_dir: Path) -> str:
    """The id of the cluster in this data folder: made once, and the same over restarts."""
    path = data_dir / "cluster-id"
    if not path.exists():
        draft = path.with_suffix(".new")
        # Kafka's own form of an id; a leading hyphen would look like an option to its tools.
        draft.write_text(base64.urlsafe_b64encode(b"\x0d" + os.urandom(15)).rstrip(b"=").decode())
        draft.replace(path)
    return path.read_text()


async def wait_ready(port: int, *, timeout_seconds: float = 60) -> None:
    """The broker answers metadata and hands out producer ids (the last thing to come up); raises KafkaUnavailable."""
    from aiokafka.errors import KafkaError

    deadline = asyncio.get_running_loop().time() + timeout_seconds
    problem: Exception | None = None
    while asyncio.get_running_loop().time() < deadline:
        try:
            async with asyncio.timeout(5):
                await _probe(port)
        except (KafkaError, OSError, TimeoutError) as error:
            problem = error
            await asyncio.sleep(0.25)
        else:
            return
    raise KafkaUnavailable(f"Kafka on port {port} was not ready within {timeout_seconds:.0f} s: {problem!r}")


async def _probe(port: int) -> None:
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import for_code
    from aiokafka.protocol.transaction import InitProducerIdRequest

    # A refused connection is the normal case while the broker starts: asked plainly, the client would log it each time.
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
    try:
        await client.bootstrap()
        node = client.get_random_node()
        answer = await client.send(
            node, InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=0)
        )
        if answer.error_code:
            raise for_code(answer.error_code)(str(answer))
    finally:
        await client.close()


def _jars(cache_dir: Path) -> Path:
    return cache_dir / f"apache-kafka-{VERSION}" / "lib"


def _java(jars: Path, logging: Path, *, heap_megabytes: int) -> list[str]:
    # Quick to start and small, rather than fast under load: this is for development and tests.
    return [
        "java",
        f"-Xmx{heap_megabytes}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        f"{jars}/*",
    ]


def _format_once(data_dir: Path, java: list[str], properties: Path) -> None:
    marker = data_dir / "formatted"
    if marker.exists():
        return
    formatting = [
        *java, "kafka.tools.StorageTool", "format",
        "--cluster-id", cluster_id(data_dir), "--config", str(properties), "--ignore-formatted",
    ]  # fmt: skip
    done = subprocess.run(formatting, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False)
    if done.returncode:
        raise KafkaUnavailable(
            f"The storage could not be formatted: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        )
    marker.touch()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

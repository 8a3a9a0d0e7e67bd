"""What is tried: docker-compose.yml from the first `up` to `down`, with the main job and a death between them."""

import base64
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from pymilvus import MilvusClient
from rich.console import Console

from contract import LookalikeError, UploadEvent
from devstack import demo
from devstack.oss import Credentials, OssServer
from producer import Client
from tests.compose import images
from tests.compose.engine import TrialError
from tests.compose.images import Docker
from tests.compose.project import ROOT, Project
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

_BUCKET: Final = "pictures"
_REGION: Final = "cn-hangzhou"
# The password that Milvus 2.3 begins with. From 2.4 on it begins with `defaultRootPassword`.
_FIRST_TOKEN: Final = "root:Milvus"  # noqa: S105 - known to all
_OURS: Final = "build"
_LOAD: Final = 2000
_LOADED_BY: Final = 50  # events that have ended when the worker is killed
_SETTLE_SECONDS: Final = 240.0
_POLL_SECONDS: Final = 0.2
_COMPANY: Final = 77
_UNAUTHORIZED: Final = 401


class Trial:
    """One run. Each step says what it does, and raises `TrialError` where it does not hold."""

    def __init__(self, console: Console, docker: Docker, work: Path) -> None:
        self._console = console
        self._docker = docker
        self._work = work
        self._began = time.monotonic()
        self._project = Project(docker, work / "lookalike")

    def run(self) -> None:
        """All steps."""
        with self._step("stand-in images, and the real build of our own"):
            played = images.build(self._docker, self._project.services, ROOT / "deploy" / "Dockerfile", self._work)
            self._say(f"standing in: {', '.join(sorted(played))}")
        # OSS is outside: on this machine, where containers find it as the gateway of Docker's own network.
        subnet = self._docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}").strip()
        host = str(next(ip_network(subnet).hosts()))
        credentials = Credentials("LTAItrial", "the-secret-of-the-trial")
        with OssServer(self._work / "oss", buckets=[_BUCKET], credentials=credentials, host=host) as oss:
            self._project.configure(oss.endpoint, _BUCKET, _REGION, credentials)
            os.environ.update(
                LOOKALIKE_OSS_ENDPOINT=oss.endpoint,
                LOOKALIKE_OSS_BUCKET=_BUCKET,
                LOOKALIKE_OSS_REGION=_REGION,
                OSS_ACCESS_KEY_ID=credentials.access_key_id,
                OSS_ACCESS_KEY_SECRET=credentials.access_key_secret,
            )
            try:
                self._all_of_it()
            finally:
                self._down()

    def _all_of_it(self) -> None:
        project = self._project
        with self._step("docker-compose build ingest"):
            project("build", "ingest")
            (image,) = {service["image"] for service in project.services.values() if _OURS in service}
            size = int(self._docker("image", "inspect", image, "--format", "{{.Size}}"))
            base = int(self._docker("image", "inspect", "lookalike-standin/base", "--format", "{{.Size}}"))
            self._say(f"{image}: {(size - base) / 1e6:.0f} MB on top of its base")
        with self._step("docker-compose up --detach redis milvus"):
            project("up", "--detach", "redis", "milvus")
            project.wait_until_well(["redis", "etcd", "minio", "milvus"])
            self._give_milvus_its_password()
        with self._step("docker-compose up --detach"):
            project("up", "--detach")
            project.wait_until_well(list(project.services))
            self._say(f"{len(project.services)} services are well: {', '.join(project.services)}")
        with self._step("what the containers may not do"):
            self._check_containment()
        self._reach_in()
        with self._step("the main job, through the queue"):
            demo.main_job(self._console)
        with self._step("docker-compose exec ingest lookalike status"):
            self._show_status()
        with self._step("docker-compose up --detach --scale ingest=2"):
            project("up", "--detach", "--scale", "ingest=2")
            project.wait_until_well(["ingest"])
            self._say(f"{len(project.containers('ingest'))} containers ingest")
        with self._step("one of them is killed under load"):
            self._kill_under_load()
        with self._step("docker-compose restart redis"):
            self._restart_redis()

    def _give_milvus_its_password(self) -> None:
        """What `defaultRootPassword` does in the Milvus that docker-compose.yml names."""
        uri, token = f"http://{self._project.address('milvus')}:19530", self._project.secret("milvus_token")
        with_first = MilvusClient(uri, token=_FIRST_TOKEN)
        user, password = token.split(":")
        with_first.update_password(user, _FIRST_TOKEN.split(":")[1], password)
        with_first.close()

    def _check_containment(self) -> None:
        project = self._project
        for service in (name for name, one in project.services.items() if _OURS in one):
            _require(project.inside(service, "id", "-u").stdout == "10001\n", f"{service} is not user 10001")
            for folder in ("/", "/opt/lookalike", "/srv"):
                written = project.inside(service, "python", "-c", f"open('{folder}/written', 'w')")
                _require("Read-only file system" in written.stderr, f"{service} can write to {folder}")
        for tool in ("gcc", "pip"):
            _require(project.inside("ingest", tool, "--version").returncode != 0, f"the image has {tool}")
        out = "import socket; socket.create_connection(('1.1.1.1', 53), 3)"
        _require(project.inside("beat", "python", "-c", out).returncode != 0, "beat can reach the world")
        redis = project.inside("redis", "redis-cli", "ping").stdout
        _require("NOAUTH" in redis, f"Redis lets in who has no name: {redis}")
        redis = project.inside("redis", "redis-cli", "--user", "health", "--pass", "any", "keys", "*").stdout
        _require("NOPERM" in redis, f"Redis lets the health check do more: {redis}")
        flower = "http://127.0.0.1:5555/api/workers"
        _require(_status(flower) == _UNAUTHORIZED, "Flower lets in who has no password")
        _require(_status(flower, project.secret("flower_basic_auth")) == 200, "Flower keeps its operator out")
        _require(_status("http://127.0.0.1:8080/events") in {_UNAUTHORIZED, 405}, "the listener lets everybody in")
        environment = "".join(
            line for one in project.services for c in project.containers(one) for line in c["Config"]["Env"]
        )
        names = [path.name for path in (project.directory / "deploy" / "secrets").iterdir()]
        exposed = [name for name in names if project.secret(name) in environment]
        _require(not exposed, f"`docker inspect` shows {', '.join(exposed)}")
        self._say(
            "ours: user 10001, read-only, no compiler, no pip; beat has no way out; Redis, Flower and the listener turn"
            " strangers away; no secret in any container's environment"
        )

    def _reach_in(self) -> None:
        """Be an application on the inner network."""
        redis = self._project.address("redis")
        os.environ.update(
            LOOKALIKE_BROKER_URL=f"redis://producer@{redis}:6379/0",
            LOOKALIKE_RESULT_BACKEND_URL=f"redis://producer@{redis}:6379/1",
            LOOKALIKE_LEDGER_URL=f"redis://producer@{redis}:6379/2",
            LOOKALIKE_REDIS_PASSWORD=self._project.secret("redis_producer_password"),
            LOOKALIKE_MILVUS_URI=f"http://{self._project.address('milvus')}:19530",
        )

    def _show_status(self) -> None:
        found = json.loads(self._project("exec", "-T", "ingest", "lookalike", "status", "--json"))
        self._say(json.dumps(found))
        _require(found["outstanding"] == 0 and found["dead"] == 0, "something is left")

    def _kill_under_load(self) -> None:
        store = OssObjectStore.from_settings(WorkerSettings.from_env())
        body = next(demo.make_uploads()).body
        keys = [f"load/{number}.jpg" for number in range(_LOAD)]
        for key in keys:
            store.put(key, body)
        store.close()
        events = [UploadEvent(object_key=key, meta_id=number, company_id=_COMPANY) for number, key in enumerate(keys)]
        with Client.from_env() as client:
            client.enqueue_many(events, batch_size=20)
            _until("the load is under way", lambda: client.outstanding() <= _LOAD - _LOADED_BY)
            (victim, *_) = self._project.containers("ingest")
            left = client.outstanding()
            # Not `docker kill`, after which Docker thinks that the container is to stay down.
            os.kill(victim["State"]["Pid"], signal.SIGKILL)
            _require(left > 0, "the load was over before the kill")
            self._say(f"SIGKILL for {victim['Name']} with {left} of {_LOAD} events outstanding")
            _until("every event has ended", lambda: client.outstanding() == 0)
            rows = client.search(meta_id=0, company_id=_COMPANY, limit=1, fresh=True)["matches"][0]["count"]
            _require(rows == _LOAD, f"{rows} rows of {_LOAD}")
            _require(client.status().dead == 0, "there are dead letters")
        self._project.wait_until_well(["ingest"])
        (again, *_) = self._project.containers("ingest")
        _require(again["RestartCount"] == victim["RestartCount"] + 1, "Docker did not start it again")
        self._say(f"{rows} rows, no dead letter; Docker has started {victim['Name']} again, and it is well")

    def _restart_redis(self) -> None:
        self._project("restart", "redis")
        self._project.wait_until_well(list(self._project.services))
        self._reach_in()
        with Client.from_env() as client:

            def found() -> bool:
                return bool(client.search(meta_id=0, company_id=_COMPANY, limit=1)["matches"])

            _until("searches are answered again", found)
        self._say("the append-only file was read, all services are well again, searches are answered")

    def _down(self) -> None:
        with self._step("docker-compose down --volumes"):
            self._project("down", "--volumes", "--timeout", "60")
            left = self._docker("ps", "--all", "--quiet").split()
            _require(not left, f"{len(left)} containers are left")

    @contextmanager
    def _step(self, says: str) -> Iterator[None]:
        self._console.rule(f"[{time.monotonic() - self._began:5.0f} s] {says}", align="left", characters="-")
        yield

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TrialError(otherwise)


def _until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not _holds(holds):
        if time.monotonic() > deadline:
            raise TrialError(f"not within {_SETTLE_SECONDS:.0f} s: {what}")
        time.sleep(_POLL_SECONDS)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except LookalikeError:
        return False


def _status(url: str, user: str | None = None) -> int:
    headers = {} if user is None else {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code

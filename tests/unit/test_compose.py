"""docker-compose.yml, the Dockerfile and deploy/env.example say only what exists. Checked without Docker."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import flower.urls  # type: ignore[import-untyped]
import pytest
import yaml
from celery.bin.base import CLIContext
from celery.bin.celery import celery
from typer.main import get_command

from contract import ALL_QUEUES
from producer.app import make_app
from producer.cli.program import program
from producer.settings import ClientSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
CELERY = [name for name in OURS if SERVICES[name]["command"][0] == "celery"]
WORKERS = [name for name in CELERY if SERVICES[name]["command"][3] == "worker"]
OTHERS = [name for name in SERVICES if name not in OURS]

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
INSTRUCTIONS = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STAGES = re.split(r"(?m)^FROM ", DOCKERFILE)[1:]
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

ENV_EXAMPLE = (ROOT / "deploy" / "env.example").read_text()
# What stands there, and what is offered behind a `#`.
ASKED = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", ENV_EXAMPLE))
OFFERED = dict(re.findall(r"(?m)^# ([A-Z_]+)=(.*)$", ENV_EXAMPLE))

CREDENTIALS = {"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"}
SETTINGS = {f"LOOKALIKE_{name.upper()}" for name in WorkerSettings.model_fields}
# What Milvus may take of the host: for Compose alone.
RESOURCES = {"MILVUS_CPUS", "MILVUS_MEMORY"}
SECRETS: dict[str, dict[str, str]] = COMPOSE["secrets"]

SECONDS = {"s": 1, "m": 60}


def seconds(duration: str) -> int:
    """The seconds of a duration such as `4m`."""
    return int(duration[:-1]) * SECONDS[duration[-1]]


def environment(service: str, given: dict[str, str]) -> dict[str, str]:
    """The environment of a service's container, where `given` is what the user's `.env` says."""
    container = {}
    for name, value in SERVICES[service].get("environment", {}).items():
        required = re.fullmatch(r"\$\{([A-Z_]+):\?[^}]+\}", str(value))
        optional = re.fullmatch(r"\$\{([A-Z_]+):-([^}]*)\}", str(value))
        if required:
            container[name] = given[required[1]]
        elif optional:
            container[name] = given.get(optional[1], optional[2])
        elif value is not None:
            container[name] = str(value)
        elif name in given:
            container[name] = given[name]
    return container


def parsed(arguments: list[str]) -> click.Context:
    """Parse a `celery` command as Celery does. An option or a command that it does not know is an error."""
    program, *rest = arguments
    assert program == "celery"
    settings = ClientSettings(
        broker_url="redis://localhost", result_backend_url="redis://localhost", ledger_url="redis://localhost"
    )
    group = click.Context(
        celery, info_name="celery", obj=CLIContext(make_app("test", settings), no_color=True, workdir=None)
    )
    options, (command, *rest), _ = celery.make_parser(group).parse_args(rest)
    assert options == {"app": "worker"}
    found = celery.get_command(group, command)
    assert found is not None
    return found.make_context(command, rest, parent=group)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of secrets that the script makes."""
    deploy = tmp_path_factory.mktemp("tree") / "deploy"
    shutil.copytree(ROOT / "deploy", deploy, ignore=shutil.ignore_patterns("secrets"))
    given = {"PATH": os.environ["PATH"], "OSS_ACCESS_KEY_ID": "an-id", "OSS_ACCESS_KEY_SECRET": "a-secret"}
    for _ in range(2):  # the second time it finds all of it there
        subprocess.run(["/bin/sh", "make-secrets.sh"], cwd=deploy, env=given, check=True, capture_output=True)
    return deploy / "secrets"


def in_container(service: str, given: dict[str, str], secrets: Path) -> dict[str, str]:
    """The environment, with the secrets where this machine has them."""
    return {name: value.replace("/run/secrets", str(secrets)) for name, value in environment(service, given).items()}


def health(service: str) -> list[str]:
    """The command of a service's health check."""
    kind, *command = SERVICES[service]["healthcheck"]["test"]
    assert kind in {"CMD", "CMD-SHELL"}
    return command if kind == "CMD" else shlex.split(command[0])


def test_who_is_who() -> None:
    """The services are those that the other tests speak of."""
    assert OURS == ["ingest", "quarantine", "search", "beat", "listener", "exporter", "flower"]
    assert WORKERS == ["ingest", "quarantine", "search"]
    assert OTHERS == ["redis", "milvus", "etcd", "minio", "prometheus", "grafana"]


@pytest.mark.parametrize("service", CELERY)
def test_celery_accepts_each_command(service: str) -> None:
    """Celery parses each command of ours whole: no option is unknown, no argument is left over."""
    context = parsed(SERVICES[service]["command"])
    assert context.args == []
    assert context.params.get("tornado_argv", ()) == ()


def test_each_command_is_what_the_documents_promise() -> None:
    """Whoever starts workers by hand, as the README says, runs what Compose runs."""
    readme = (ROOT / "README.md").read_text()
    for service in CELERY:
        assert shlex.join(SERVICES[service]["command"]) in readme


@pytest.mark.parametrize("service", ["listener", "exporter"])
def test_our_program_accepts_its_commands(service: str) -> None:
    """Each option is one that the command has."""
    name, command, *options = SERVICES[service]["command"]
    assert name == "lookalike"
    known = {option for one in get_command(program).commands[command].params for option in one.opts}  # type: ignore[attr-defined]
    assert {option for option in options if option.startswith("--")} <= known


def test_the_workers_consume_every_queue() -> None:
    """Each queue of ours has workers, which are its own, and no other queue is listened to."""
    consumed = [queue for service in WORKERS for queue in parsed(SERVICES[service]["command"]).params["queues"]]
    assert sorted(consumed) == sorted(ALL_QUEUES)


def test_the_threads_have_a_connection_each() -> None:
    """No thread of a pool waits for a connection to OSS."""
    for service in WORKERS:
        assert (
            parsed(SERVICES[service]["command"]).params["concurrency"]
            <= WorkerSettings.model_fields["oss_connections"].default
        )


@pytest.mark.parametrize("service", WORKERS)
def test_workers_scale(service: str) -> None:
    """Nothing of a worker would clash with a second one: its container's name, its ports, its node's name."""
    assert SERVICES[service].keys().isdisjoint({"container_name", "hostname", "ports", "volumes"})
    node = SERVICES[service]["command"][SERVICES[service]["command"].index("-n") + 1]
    assert node == f"{service}@%h"


@pytest.mark.parametrize("service", ["ingest", "beat", "flower"])
def test_the_application_loads_with_what_compose_gives(service: str, secrets: Path) -> None:
    """`-A worker` finds the application, and it needs nothing that the container does not have."""
    finished = subprocess.run(
        [sys.executable, "-m", *SERVICES[service]["command"][:3], "inspect", "--list"],
        env={"PATH": os.environ["PATH"], **in_container(service, ASKED, secrets)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "ping" in finished.stdout


@pytest.mark.parametrize("service", WORKERS)
def test_a_worker_is_asked_for_its_own_pulse(service: str) -> None:
    """The health check is a command of Celery's, and asks the node that runs in this container, not any."""
    context = parsed(health(service))
    assert (context.info_name, context.params["command"], context.args) == ("inspect", "ping", [])
    # $$ is how Compose writes $; the shell in the container fills in its host name, which is Celery's %h.
    assert context.params["destination"] == [f"{service}@$$HOSTNAME"]
    assert context.params["timeout"] < seconds(SERVICES[service]["healthcheck"]["timeout"])


def test_flowers_pulse_is_a_page_of_flower() -> None:
    """Flower's health check is Python that compiles, and asks for a page that Flower serves."""
    python, option, source = health("flower")
    assert (python, option) == ("python", "-c")
    compile(source, "healthcheck", "exec")
    assert "'http://127.0.0.1:5555/healthcheck'" in source
    assert "/healthcheck" in [page[0] for page in flower.urls.handlers if isinstance(page, tuple)]
    assert SERVICES["flower"]["ports"] == ["127.0.0.1:5555:5555"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_watched(service: str) -> None:
    """Each service has a health check with its limits."""
    assert {"test", "interval", "timeout", "retries"} <= SERVICES[service]["healthcheck"].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_comes_back(service: str) -> None:
    """It is started again when it ends by itself."""
    assert SERVICES[service]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_dependencies_exist(service: str) -> None:
    """What a service waits for is there, and can become healthy."""
    for name, dependency in SERVICES[service].get("depends_on", {}).items():
        assert dependency == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[name]


def test_volumes_and_networks_are_declared_and_used() -> None:
    """Each volume and network that is named is declared, and the other way round; all data is in a named volume."""
    mounts = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert {source for source, *_ in mounts if "/" not in source} == COMPOSE["volumes"].keys() == set(OTHERS)
    for source, _, *mode in (mount for mount in mounts if "/" in mount[0]):
        assert (ROOT / source).is_dir()
        assert mode == ["ro"]
    networks = {network for service in SERVICES.values() for network in service["networks"]}
    assert networks == COMPOSE["networks"].keys()
    used = [
        secret["source"] if isinstance(secret, dict) else secret
        for one in SERVICES.values()
        for secret in one.get("secrets", [])
    ]
    assert set(used) == SECRETS.keys()


def test_only_what_speaks_to_the_world_is_on_a_network_with_a_way_out() -> None:
    """Workers for OSS, the listener for a callback's key; and what is published, for Docker publishes no other way."""
    assert {name for name, network in COMPOSE["networks"].items() if network is None} == {"outer"}
    outside = {name for name, service in SERVICES.items() if "outer" in service["networks"]}
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"listener", "flower", "grafana"}
    assert outside == {*WORKERS, *published}


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_has_more_than_it_needs(service: str) -> None:
    """No capabilities, no way to new privileges, bounded processes, memory, processors and logs."""
    found = SERVICES[service]
    assert found["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in found["security_opt"]
    assert {"pids_limit", "mem_limit", "cpus"} <= found.keys()
    assert found["logging"]["options"].keys() == {"max-size", "max-file"}
    if service not in {"milvus", "minio"}:  # which write beside their volumes
        assert found["read_only"] is True


def test_the_secrets_are_those_that_the_script_makes(secrets: Path) -> None:
    """Each file that Compose asks for, not empty, for containers to read and for nobody else on the host to find."""
    # The administrator of Redis is no container.
    assert {path.name for path in secrets.iterdir()} == SECRETS.keys() | {"redis_admin_password"}
    assert {secret["file"] for secret in SECRETS.values()} == {f"deploy/secrets/{name}" for name in SECRETS}
    assert secrets.stat().st_mode & 0o777 == 0o700
    for path in secrets.iterdir():
        assert path.stat().st_mode & 0o777 == 0o444
        assert path.read_text().strip()
    drawn = [
        (secrets / name).read_text() for name in SECRETS if not name.startswith(("oss_", "redis_users", "milvus_"))
    ]
    assert len(set(drawn)) == len(drawn)


def test_redis_is_told_the_digests_of_the_passwords(secrets: Path) -> None:
    """Each user of the file is let in by the password that its containers are given."""
    users = (secrets / "redis_users").read_text()
    for role in ("worker", "producer", "monitor", "listener", "admin"):
        password = (secrets / f"redis_{role}_password").read_text().strip()
        assert f"user {role} on #{sha256(password.encode()).hexdigest()} " in users
    assert users.startswith("user default off ")
    assert "SHA256_OF" not in users


def test_no_secret_stands_in_the_file() -> None:
    """Every variable that is one names a file; nothing else looks like one."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|BASIC_AUTH", name):
                assert value is None or re.fullmatch(r"/run/secrets/[a-z_]+", value), name


def test_whoever_is_given_a_file_has_its_secret() -> None:
    """And no container has a secret that it does not use."""
    for name, service in SERVICES.items():
        named = {value.rpartition("/")[2] for value in environment(name, ASKED).values() if "/run/secrets/" in value}
        mounted = {one for one in service.get("secrets", []) if isinstance(one, str)}
        if name != "redis":  # its command names it
            assert named == mounted


def test_prometheus_scrapes_whatever_serves() -> None:
    """The services that Prometheus looks for are ours that tell figures, on the port that they are told."""
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    serving = [name for name in OURS if name != "flower"]
    assert sorted(found["names"]) == sorted(serving)
    for name in serving:
        assert SERVICES[name]["environment"]["LOOKALIKE_METRICS_PORT"] == str(found["port"])


def test_nothing_is_published_beyond_this_host() -> None:
    """Every published port is bound to loopback."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_addresses_lead_to_services_of_a_common_network(service: str) -> None:
    """Every host in a service's environment is another service that it can reach."""
    own = set(SERVICES[service]["networks"])
    for value in environment(service, dict.fromkeys(ASKED, "")).values():
        for host in re.findall(r"(?:^|://|@)([a-z]+):\d+", value):
            assert own & set(SERVICES[host]["networks"])


@pytest.mark.parametrize("name", ASKED | OFFERED)
def test_the_example_names_only_variables_that_exist(name: str) -> None:
    """Whoever fills in deploy/env.example is never ignored: the workers know the variable, and Compose hands it on."""
    if name in RESOURCES:
        assert f"${{{name}:-{OFFERED[name]}}}" in (ROOT / "docker-compose.yml").read_text()
        return
    assert name in SETTINGS | CREDENTIALS
    for service in WORKERS:
        assert name in SERVICES[service]["environment"]


def test_compose_asks_for_what_the_example_lists() -> None:
    """A start without one of the values that have no default ends with a message that names it."""
    required = {}
    for service in WORKERS:
        for name, value in SERVICES[service]["environment"].items():
            if value is not None and ":?" in value:
                assert value == f"${{{name}:?set {name}, see deploy/env.example}}"
                required[name] = value
    assert required.keys() == ASKED.keys()


@pytest.mark.parametrize("service", WORKERS)
def test_every_setting_reaches_the_workers(service: str) -> None:
    """Compose sets or hands on each variable that a worker reads, and no other."""
    named = {name.removesuffix("_FILE") for name in SERVICES[service]["environment"]}
    assert named == SETTINGS | CREDENTIALS


def test_the_dockerfile_sets_no_unknown_variable() -> None:
    """A variable of ours in the image is one that the workers read."""
    assert set(re.findall(r"\b(?:LOOKALIKE|OSS)_[A-Z_]+", DOCKERFILE)) <= SETTINGS | CREDENTIALS


@pytest.mark.parametrize("extra", [{}, OFFERED], ids=["as asked", "with all that is offered"])
@pytest.mark.parametrize("service", WORKERS)
def test_the_values_are_settings(
    service: str, extra: dict[str, str], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker accepts the environment that Compose makes for it."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    container = in_container(service, ASKED | extra, secrets)
    for name, value in container.items():
        monkeypatch.setenv(name, value)
    settings = WorkerSettings.from_env()
    assert settings.milvus_uri == "http://milvus:19530"
    assert settings.oss_bucket == ASKED["LOOKALIKE_OSS_BUCKET"]
    assert settings.milvus_token.startswith("root:")
    password = (secrets / "redis_worker_password").read_text().strip()
    assert settings.ledger_url == f"redis://worker:{password}@redis:6379/2"


def test_what_is_offered_is_the_default() -> None:
    """A line of the example that is uncommented and not changed changes nothing."""
    defaults = {f"LOOKALIKE_{name.upper()}": field.default for name, field in WorkerSettings.model_fields.items()}
    for name in OFFERED.keys() - CREDENTIALS - RESOURCES - {"LOOKALIKE_DECODERS"}:
        assert OFFERED[name] == str(defaults[name])


def test_the_example_holds_no_credentials() -> None:
    """A key stands in a file; only what changes with it may come from the environment."""
    assert (ASKED | OFFERED).keys() & CREDENTIALS == {"OSS_SESSION_TOKEN"}
    assert OFFERED["OSS_SESSION_TOKEN"] == ""


@pytest.mark.parametrize("service", [name for name in OURS if name not in WORKERS])
def test_who_needs_no_key_is_given_none(service: str) -> None:
    """What faces a browser, and what only sends messages, knows nothing of OSS and Milvus."""
    assert not [name for name in SERVICES[service]["environment"] if re.search("OSS|MILVUS", name)]


@pytest.mark.parametrize("service", WORKERS)
def test_a_warm_shutdown_has_the_time_it_needs(service: str) -> None:
    """What was begun is finished or handed back before SIGKILL."""
    needed: float = WorkerSettings.model_fields["shutdown_seconds"].default
    assert needed + 10 < seconds(SERVICES[service]["stop_grace_period"])


def test_redis_keeps_what_it_acknowledged() -> None:
    """Redis writes each change to a file on its volume within a second, and evicts nothing."""
    server, *flags = SERVICES["redis"]["command"]
    assert server == "redis-server"
    assert dict(zip(flags[::2], flags[1::2], strict=True)) == {
        "--aclfile": "/run/secrets/redis_users",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--maxmemory": "1gb",
        "--maxmemory-policy": "noeviction",
        "--save": "",
    }
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert health("redis")[:2] == ["redis-cli", "-e"]
    assert health("redis")[-1] == "ping"


def test_milvus_is_one_of_the_safe_releases() -> None:
    """Milvus is of the 2.6 line, at or after the release that closed CVE-2026-26190."""
    release = re.fullmatch(r"milvusdb/milvus:v2\.6\.(\d+)", SERVICES["milvus"]["image"])
    assert release is not None
    assert int(release[1]) >= 10


@pytest.mark.parametrize("store", ["etcd", "minio"])
def test_the_stores_of_milvus_are_out_of_reach(store: str) -> None:
    """What Milvus keeps its data in, with keys that everyone knows, shares a network with Milvus alone."""
    (network,) = SERVICES[store]["networks"]
    assert COMPOSE["networks"][network] == {"internal": True}
    there = {name for name, service in SERVICES.items() if network in service["networks"]}
    assert there == {"milvus", "etcd", "minio"}


def test_milvus_is_told_its_keys_and_its_password(secrets: Path) -> None:
    """It signs with the keys that MinIO was given, and begins with the password that the workers have."""
    config = yaml.safe_load((secrets / "milvus_config").read_text())
    assert config["minio"] == {
        "accessKeyID": SERVICES["minio"]["environment"]["MINIO_ROOT_USER"],
        "secretAccessKey": (secrets / "minio_root_password").read_text().strip(),
    }
    security = config["common"]["security"]
    assert security["authorizationEnabled"] is True
    assert (secrets / "milvus_token").read_text().strip() == f"root:{security['defaultRootPassword']}"
    assert len(security["defaultRootPassword"]) <= 72  # Milvus takes no longer one
    assert SERVICES["milvus"]["secrets"] == [{"source": "milvus_config", "target": "/milvus/configs/user.yaml"}]


@pytest.mark.parametrize("service", OTHERS)
def test_images_are_pinned(service: str) -> None:
    """No image changes under our feet: each names a release."""
    assert re.fullmatch(r"[a-z./]+:[A-Za-z]*[.v]?\d[\w.-]+", SERVICES[service]["image"])


@pytest.mark.parametrize("service", OURS)
def test_our_image_is_built_here(service: str) -> None:
    """Our services share one image, called after this release and built from the Dockerfile."""
    assert SERVICES[service]["image"] == f"lookalike:{importlib.metadata.version('lookalike')}"
    build = SERVICES[service]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).resolve() == ROOT / "deploy" / "Dockerfile"


def test_the_image_is_built_from_files_that_are_there() -> None:
    """Whatever the Dockerfile copies is in the tree, and not hidden by .dockerignore, which lets nothing else in."""
    assert IGNORED[0] == "*"
    copied = set()
    for line in INSTRUCTIONS:
        if line.startswith("COPY ") and "--from=" not in line:
            *sources, _ = line.split()[1:]
            copied |= set(sources)
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert {f"!{source.split('/')[0]}" for source in copied} == {line for line in IGNORED if line.startswith("!")}


def test_the_image_installs_from_the_lock() -> None:
    """Every package comes from a hash-pinned file, and ours is built with what is installed by then."""
    installs = re.findall(r"pip install (.*?)(?= &&|$)", "\n".join(INSTRUCTIONS), re.MULTILINE)
    assert [shlex.split(install) for install in installs] == [
        ["--require-hashes", "--no-deps", "-r", "requirements/build.txt"],
        ["--require-hashes", "--no-deps", "--no-build-isolation", "-r", "requirements/worker.txt"],
        ["--no-deps", "--no-build-isolation", "."],
    ]


def test_the_image_is_small_and_not_root() -> None:
    """The last stage begins with the bare base, takes the environment only, and runs as a user with a number."""
    builder, final = STAGES
    base = builder.split()[0]
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)
    assert final.split()[0] == base
    assert "pip install" not in final
    assert "apt-get" not in final
    assert re.findall(r"(?m)^COPY (.*)$", final) == ["--from=builder /opt/lookalike /opt/lookalike"]
    users = re.findall(r"(?m)^USER (\d+):(\d+)$", final)
    assert len(users) == 1
    assert "0" not in users[0]
    assert "PYTHONUNBUFFERED=1" in final


def test_the_image_runs_the_ingest_worker() -> None:
    """Started with no command, a container is an ingest worker; no shell stands between it and SIGTERM."""
    (command,) = re.findall(r"(?m)^CMD (.*)$", DOCKERFILE)
    assert json.loads(command) == SERVICES["ingest"]["command"]
    assert "ENTRYPOINT" not in DOCKERFILE


def test_no_package_index_is_named() -> None:
    """Where packages come from is the business of whoever builds: no address of an index, and no option for one."""
    assert "://" not in "".join(INSTRUCTIONS)
    for text in (DOCKERFILE, (ROOT / "docker-compose.yml").read_text(), ENV_EXAMPLE):
        assert re.search(r"index-url|find-links|trusted-host|PIP_(?:EXTRA_)?INDEX", text) is None

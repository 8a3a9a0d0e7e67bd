"""Every process tells Prometheus its figures, and the dashboard and the alerts ask for figures that there are."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
import yaml
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from contract import QUARANTINE_QUEUE, IngestResult
from devstack.pictures import photos
from producer import Client
from tests.integration.listening import PROGRAM, Listening
from tests.integration.processes import Worker, eventually, settled
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
IGNORED = Path(__file__).parents[1] / "contract" / "deliveries" / "ignored.json"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "lookalike.json").read_text())
EXPRESSIONS = {
    f"{panel['title']}, {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
COMPANY = 61
NAMES = re.compile(r"\b(lookalike_[a-z_]+|process_[a-z_]+)\b")
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Debian's package prometheus: make servers"
)


@pytest.fixture(scope="module")
def processes(
    client: Client,
    start_worker: Callable[..., Worker],
    worker_env: Mapping[str, str],
    metrics_ports: Mapping[str, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, int]]:
    """One process of each kind, by where it tells its figures."""
    settled(client)
    logs = tmp_path_factory.mktemp("metrics")
    ports = {name: {"LOOKALIKE_METRICS_PORT": str(port)} for name, port in metrics_ports.items()}
    quarantine = ("-Q", QUARANTINE_QUEUE, "-P", "prefork", "-c", "1", "-n", "quarantine@%h")
    beat = ["beat", "--schedule", str(logs / "schedule")]
    with ExitStack() as stack:
        stack.enter_context(start_worker(*quarantine, log=logs / "quarantine", **ports["quarantine"]))
        stack.enter_context(Worker(beat, {**worker_env, **ports["beat"]}, logs / "beat"))
        command = [PROGRAM, "exporter", "--every", "1"]
        with (logs / "exporter").open("wb") as log:
            exporter = subprocess.Popen(
                command, env={**dict(worker_env), **ports["exporter"], "PATH": ""}, stdout=log, stderr=log
            )
        stack.callback(exporter.wait, 30)
        stack.callback(exporter.terminate)
        listening = stack.enter_context(Listening({**worker_env, **ports["listener"]}, logs / "listener"))
        listening.post("/events", b"{}", headers={"Authorization": "Bearer another"})
        listening.post("/events", IGNORED.read_bytes())
        for name, port in metrics_ports.items():
            eventually(f"{name} tells its figures", partial(tells, port))
        eventually("the exporter has looked", lambda: ("lookalike_workers", ()) in scrape(metrics_ports["exporter"]))
        yield metrics_ports


@pytest.fixture(scope="module")
def work(
    client: Client, processes: Mapping[str, int], celery_only: Celery, worker_env: Mapping[str, str]
) -> IngestResult:
    """Something was indexed, searched and given up, and a message of the quarantine ended like this."""
    assert processes
    with pytest.MonkeyPatch.context() as patch:
        for name, given in {**worker_env, "LOOKALIKE_OSS_TIMEOUT": "60"}.items():
            patch.setenv(name, given)
        bucket = OssObjectStore.from_settings(WorkerSettings.from_env())
        for number, body in enumerate(list(photos().values())[:3]):
            bucket.put(f"metrics/{number}", body)
            client.enqueue(f"metrics/{number}", meta_id=number, company_id=COMPANY)
        bucket.close()
    client.enqueue("metrics/none", meta_id=9, company_id=COMPANY)
    event = {"object_key": "metrics/0", "meta_id": 8, "company_id": COMPANY}
    message = celery_only.send_task("lookalike.ingest", kwargs={"events": [event]}, queue=QUARANTINE_QUEUE)
    quarantined: IngestResult = message.get(60)
    settled(client)
    assert client.search(object_key="metrics/0", company_id=COMPANY, fresh=True)["matches"]
    wrong = {"query": {"vector": "00"}, "company_id": COMPANY}
    refused = celery_only.send_task("lookalike.search", kwargs=wrong, queue="search")
    assert isinstance(refused.get(60, propagate=False), Exception)
    return quarantined


def scrape(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a process tells, by name and labels; nothing where it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def tells(port: int) -> bool:
    """Whether a process answers."""
    return bool(scrape(port))


def value(port: int, name: str, **labels: str) -> float:
    """One figure; 0 where it is not told."""
    return scrape(port).get((name, tuple(sorted(labels.items()))), 0.0)


def test_what_was_done_is_counted(processes: Mapping[str, int], work: IngestResult) -> None:
    """Events by outcome and reason, stages, bytes, sizes, searches; and by the parent what its pool's child did."""
    ingest, search, quarantine = (processes[name] for name in ("ingest", "search", "quarantine"))
    assert value(ingest, "lookalike_events_total", outcome="indexed", reason="") >= 3
    assert value(ingest, "lookalike_events_total", outcome="dead", reason="not_found") >= 1
    assert value(ingest, "lookalike_events_total", outcome="retried", reason="") >= 1
    for stage in ("queue_wait", "download", "decode_wait", "decode_and_hash", "upsert"):
        assert value(ingest, "lookalike_stage_seconds_count", stage=stage) >= 1
    assert value(ingest, "lookalike_downloaded_bytes_total") >= sum(map(len, list(photos().values())[:3]))
    assert value(ingest, "lookalike_batch_events_sum") >= 4
    assert value(ingest, "lookalike_upsert_rows_sum") >= 3
    assert value(search, "lookalike_stage_seconds_count", stage="search") >= 1
    assert value(search, "lookalike_queries_total") >= 1
    assert value(search, "lookalike_task_seconds_count", task="lookalike.search", state="FAILURE") >= 1
    # What is settled can be seen a moment before it is counted.
    events = partial(value, quarantine, "lookalike_events_total", reason="")
    outcomes: tuple[Literal["indexed", "unchanged", "retried"], ...] = ("indexed", "unchanged", "retried")
    eventually(
        f"the quarantine counts {work}",
        lambda: all(events(outcome=outcome) == work[outcome] for outcome in outcomes),
    )
    assert value(quarantine, "lookalike_task_seconds_count", task="lookalike.ingest", state="SUCCESS") >= 1
    assert value(processes["listener"], "lookalike_listener_requests_total", path="/events", status="401") == 1


@pytest.mark.usefixtures("work")
def test_the_exporter_tells_how_it_stands(processes: Mapping[str, int], client: Client) -> None:
    """The same as `status`, and that it sees everything."""
    port, status = processes["exporter"], client.status()
    eventually("it sees the dead letter", lambda: value(port, "lookalike_dead_letters") == status.dead)
    assert value(port, "lookalike_outstanding_events") == status.outstanding
    assert value(port, "lookalike_queue_workers", queue="ingest") >= 1
    assert value(port, "lookalike_collection_rows", collection="shared_ahash") == status.collections["shared_ahash"]
    assert value(port, "lookalike_redis_memory_bytes") > 0
    told = scrape(port)
    sources = {dict(labels)["source"]: up for (name, labels), up in told.items() if name == "lookalike_exporter_up"}
    assert sources == dict.fromkeys(("broker", "workers", "ledger", "fuses", "collections", "memory"), 1.0)


@pytest.mark.usefixtures("work")
def test_no_label_is_a_tenant_or_a_key(processes: Mapping[str, int]) -> None:
    """Labels are bounded: none of them holds an id, a key or the name of an object."""
    labels = {
        (name, given)
        for port in processes.values()
        for _, told in scrape(port)
        for name, given in told
        if name not in {"le", "quantile"}
    }
    assert {name for name, _ in labels} <= {
        *(
            "outcome",
            "reason",
            "stage",
            "task",
            "state",
            "version",
            "python",
            "pillow",
            "imagehash",
            "pymilvus",
            "hash",
        ),
        *("queue", "collection", "source", "path", "status", "form", "worker", "cause"),
        *("generation", "implementation", "major", "minor", "patchlevel"),
    }
    assert not [given for _, given in labels if "metrics/" in given or given == str(COMPANY)]


@pytest.mark.usefixtures("work")
def test_every_figure_that_is_asked_for_is_told(processes: Mapping[str, int]) -> None:
    """The dashboard and the alerts name no metric that no process has."""
    told = {name for port in processes.values() for name, _ in scrape(port)} | {"lookalike_fuse_blown"}
    for expression in [*EXPRESSIONS.values(), *(rule["expr"] for rule in ALERTS)]:
        assert set(NAMES.findall(expression)) <= told, expression


@needs_prometheus
@pytest.mark.usefixtures("work")
def test_prometheus_answers_the_dashboard_and_the_alerts(
    processes: Mapping[str, int], free_port: int, tmp_path: Path, client: Client
) -> None:
    """A real Prometheus scrapes the processes: each query of the dashboard has series, and no alert is in error."""
    jobs = [{"targets": [f"127.0.0.1:{port}"], "labels": {"service": name}} for name, port in processes.items()]
    shutil.copy(DEPLOY / "prometheus" / "alerts.yml", tmp_path)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "lookalike", "static_configs": jobs}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{free_port}"], stdout=log, stderr=log)
    try:

        def ask(path: str, **query: str) -> Any:
            url = f"http://127.0.0.1:{free_port}/api/v1/{path}?{urlencode(query)}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]

        def is_empty() -> list[str]:
            client.search(meta_id=0, company_id=COMPANY)
            found = {
                title: ask("query", query=expression.replace("$__rate_interval", "30s"))["result"]
                for title, expression in EXPRESSIONS.items()
            }
            return [title for title, result in found.items() if not result]

        def answers() -> bool:
            try:
                return not is_empty()
            except OSError:
                return False

        eventually("every query of the dashboard has series", answers)
        eventually(
            "every alert was evaluated",
            lambda: {rule["health"] for group in ask("rules")["groups"] for rule in group["rules"]} == {"ok"},
        )
        assert {rule["name"] for group in ask("rules")["groups"] for rule in group["rules"]} == {
            rule["alert"] for rule in ALERTS
        }
    finally:
        server.terminate()
        server.wait(30)


@needs_prometheus
def test_the_alerts_fire_where_they_should() -> None:
    """Promtool evaluates each alert on series where all is well, where all is wrong, and where nothing is told."""
    for command in ("promtool check config prometheus.yml", "promtool test rules alerts_test.yml"):
        done = subprocess.run(command.split(), cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do() -> None:
    """Its link leads to a section of the page about alerts."""
    guide = (DEPLOY.parent / "docs" / "alerts.md").read_text()
    anchors = {f"docs/alerts.md#{title.lower().replace(' ', '-')}" for title in re.findall(r"(?m)^#+ (.+)$", guide)}
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["runbook_url"] in anchors


def test_a_port_that_is_taken_stops_nobody(
    start_worker: Callable[..., Worker], metrics_ports: Mapping[str, int], ingest_worker: Worker, tmp_path: Path
) -> None:
    """The worker says so, and works."""
    assert not ingest_worker.has_ended
    taken = {"LOOKALIKE_METRICS_PORT": str(metrics_ports["ingest"])}
    command = ("-Q", "nothing", "-P", "threads", "-c", "1", "-n", "taken@%h")
    with start_worker(*command, log=tmp_path / "log", **taken) as worker:
        eventually("it says so", lambda: any(line.get("event") == "metrics_not_served" for line in worker.lines()))
        assert not worker.has_ended

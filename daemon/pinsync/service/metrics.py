"""Metrics in Prometheus' format. What stands in the ledger is read from the record that `status` shows; what only this
process knows (requests, passes since its start) is counted here.

Names and labels are in docs/monitoring.md. No label holds a CID, a pin's name or anything else without bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, Summary, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from pinsync import __version__
from pinsync.house import reading
from pinsync.ledger.ledger import Ledger
from pinsync.planning.plan import Kind, PinState, State
from pinsync.remote.calls import RequestRecord
from pinsync.settings.model import Settings
from pinsync.status import EXIT, status

RESULTS = {0: "in-sync", 1: "failing", 2: "manifest", 3: "converging", 4: "held"}
"""What a pass came to, by its exit code; one that could not be finished is "error"."""

OUTCOMES = ("2xx", "3xx", "4xx", "429", "5xx", "error", "given-up")
METHODS = ("GET", "POST", "DELETE")
_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)  # seconds of a pass: quiet ones to a first mirror
_SIZES = ("", "-wal")  # files of the ledger, beside its path


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger says at one moment: the object of `status --json`, and beside it what that leaves out.

    Times in seconds since the epoch; `pending` counts what waits and is held, by remote.
    """

    report: Mapping[str, Any]
    pending: Mapping[str, Mapping[tuple[Kind, State], int]]
    last_good: float | None
    last_end: float | None
    last_seconds: float | None
    next_at: float | None
    interval: float
    ledger_bytes: int
    at: float


def read_record(settings: Settings, now: float, daemon: Mapping[str, object]) -> Record:
    """Read the ledger by a connection of its own, so from any thread. Raises `StateError`."""
    with reading(settings) as ledger:
        report = status(ledger, settings, now, daemon)
        last = _last_ended(ledger) if ledger else None
        next_at = (ledger.fact("next_pass_at") if ledger else None) if daemon.get("running") else None
        return Record(
            report,
            {remote.name: ledger.pending_counts(remote.name) if ledger else {} for remote in settings.remotes},
            ledger.last_good() if ledger else None,
            last[1] if last else None,
            last[1] - last[0] if last else None,
            float(next_at) if next_at else None,
            settings.schedule.every,
            _size(settings),
            now,
        )


def _last_ended(ledger: Ledger) -> tuple[float, float] | None:
    """When the newest pass that is over began and ended."""
    sql = "SELECT started_at, finished_at FROM runs WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1"
    found: tuple[float, float] | None = ledger.store.execute(sql).fetchone()
    return found


def _size(settings: Settings) -> int:
    total = 0
    for more in _SIZES:
        with suppress(OSError):
            total += settings.state.path.with_name(settings.state.path.name + more).stat().st_size
    return total


class Tally:
    """What this process counts. For one event loop; reading it from another thread is safe.

    `waited` answers the seconds that each remote's rate limit held requests back so far.
    """

    def __init__(self, started: float, waited: Callable[[], Mapping[str, float]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.started = started
        self.waited = waited
        self.registry = CollectorRegistry()
        self._passes = Counter("pinsync_passes_total", "Passes that are over, by result.", ["result"],
                               registry=self.registry)  # fmt: skip
        self._seconds = Histogram("pinsync_pass_duration_seconds", "How long passes took.", buckets=_BUCKETS,
                                  registry=self.registry)  # fmt: skip
        self._requests = Counter("pinsync_requests_total", "Requests to remotes, by outcome.",
                                 ["remote", "method", "outcome"], registry=self.registry)  # fmt: skip
        self._took = Summary("pinsync_request_duration_seconds", "How long remotes took to answer.", ["remote"],
                             registry=self.registry)  # fmt: skip
        for result in (*RESULTS.values(), "error"):
            self._passes.labels(result)
        self._process = process = ProcessCollector(registry=None)
        if not process._btime and hasattr(time, "CLOCK_BOOTTIME"):
            # /proc/stat is hidden by the unit's ProcSubset=pid, and without the time of booting it collects nothing.
            process._btime = int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))

    def expect(self, remotes: Iterable[str]) -> None:
        """Have series for these from the start: one that springs up with its first error hides that error."""
        for remote in remotes:
            self._took.labels(remote)
            for method in METHODS:
                for outcome in OUTCOMES:
                    self._requests.labels(remote, method, outcome)

    def request(self, remote: str, request: RequestRecord) -> None:
        """An observer of a remote's client."""
        self._requests.labels(remote, request.method, outcome_of(request)).inc()
        self._took.labels(remote).observe(request.seconds)

    def passed(self, exit_code: int | None, seconds: float) -> None:
        """A pass is over. `exit_code` None: it could not be finished."""
        self._passes.labels("error" if exit_code is None else RESULTS.get(exit_code, "error")).inc()
        self._seconds.observe(seconds)

    def process(self) -> Iterator[Metric]:
        """The usual metrics of a process. Not for the textfile: node_exporter has its own under these names."""
        yield from self._process.collect()

    def collect(self) -> Iterator[Metric]:
        """Everything counted."""
        yield from self.registry.collect()
        yield _gauge("start_time_seconds", "When the daemon began.", self.started)
        waits = CounterMetricFamily(
            "pinsync_rate_limit_wait_seconds", "Seconds that the rate limit held requests back.", labels=["remote"]
        )
        for remote, seconds in self.waited().items():
            waits.add_metric([remote], seconds)
        yield waits


def outcome_of(request: RequestRecord) -> str:
    """One of `OUTCOMES`. "given-up": we ended it ourselves, in mid-request."""
    if request.error is not None:
        return "error"
    if request.status is None:
        return "given-up"
    return "429" if request.status == 429 else f"{min(max(request.status // 100, 2), 5)}xx"


def families(record: Record | None) -> Iterator[Metric]:
    """The ledger's part. `record` None: it cannot be read, and that is all there is to say."""
    yield _gauge("build_info", "The version that runs.", {(__version__,): 1}, "version")
    yield _gauge("ledger_ok", "Whether the ledger can be read.", record is not None)
    if record is None:
        return
    report = record.report
    verdicts = {(verdict,): verdict == report["verdict"] for verdict in EXIT}
    yield _gauge("written_timestamp_seconds", "When these metrics were made.", record.at)
    yield _gauge("verdict", "The verdict of `pinsync status`: 1 for the one that holds.", verdicts, "verdict")
    yield _gauge("schedule_interval_seconds", "The pause between passes, [schedule] every.", record.interval)
    yield _gauge("last_pass_timestamp_seconds", "When the last pass ended.", record.last_end)
    yield _gauge("last_pass_duration_seconds", "How long the last pass took.", record.last_seconds)
    yield _gauge("last_good_pass_timestamp_seconds", "When a pass last went well; of one under way, its last progress.",
                 record.last_good)  # fmt: skip
    yield _gauge("next_pass_timestamp_seconds", "When the next pass is due.", record.next_at)
    yield _gauge("ledger_size_bytes", "The size of the ledger's files.", record.ledger_bytes)
    yield _gauge("doubts", "Doubts about a source that wait for a person.", len(report["doubts"]))
    resting = {one["remote"] for one in report["paused"]}
    yield _gauge("paused", "Whether a person paused everything.", None in resting)
    yield _gauge("remote_paused", "Whether a person paused the remote.", {
        (remote["name"],): bool(resting & {None, remote["name"]}) for remote in report["remotes"]
    }, "remote")  # fmt: skip
    if report["daemon"].get("running"):
        right = not report["daemon"].get("config_error")
        yield _gauge("configuration_ok", "Whether the configuration on disk is the one in force.", right)
        yield _gauge("pass_running", "Whether a pass is under way.", report["daemon"].get("pass") is not None)
    yield from _sources(report["sources"])
    yield from _remotes(report["remotes"])
    for state, word, text in (
        (State.HELD, "held", "Actions that are held for a person."),
        (State.WAITING, "waiting", "Actions that wait: for grace, or for their next try."),
    ):
        counts = {
            (remote, kind.value): pending.get((kind, state), 0)
            for remote, pending in record.pending.items()
            for kind in Kind
        }
        yield _gauge(f"{word}_actions", text, counts, "remote", "kind")


def _sources(sources: Mapping[str, Any]) -> Iterator[Metric]:
    nodes, manifest = sources["nodes"], sources["manifest"]
    read = {(node["name"],): node["ok"] for node in nodes if node["ok"] is not None}
    yield _gauge("node_ok", "Whether the node's last reading went well.", read, "node")
    pins = {(node["name"],): node["pins"] for node in nodes if node["pins"] is not None}
    yield _gauge("node_pins", "Recursive pins of the node, by its last reading.", pins, "node")
    yield _gauge("manifest_ok", "Whether the manifest can be read.", manifest["ok"])
    yield _gauge("manifest_pins", "Entries of the manifest in force.", manifest["pins"] if manifest["path"] else None)


def _remotes(remotes: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    remotes = list(remotes)

    def each(value: Callable[[Mapping[str, Any]], float | None]) -> dict[tuple[str, ...], float]:
        return {(remote["name"],): found for remote in remotes if (found := value(remote)) is not None}

    pins = {(remote["name"], state.value): remote[state.value] for remote in remotes for state in PinState}
    yield _gauge("pins", "Wanted pins, by what the remote says of them.", pins, "remote", "status")
    yield _gauge("wanted_pins", "Pins that are wanted at the remote.", each(lambda one: one["wanted"]), "remote")
    yield _gauge("foreign_pins", "Pins there that are not ours.", each(lambda one: one["foreign"]), "remote")
    yield _gauge("remote_pins", "All pins there, after the last whole listing.", each(lambda one: one["present"]),
                 "remote")  # fmt: skip
    yield _gauge("remote_ok", "Whether the remote did what the last pass asked.", each(lambda one: one["ok"]), "remote")
    yield _gauge("remote_listing_complete", "Whether the last list of the remote was all of it.",
                 each(lambda one: one["complete"]), "remote")  # fmt: skip
    yield _gauge("remote_closed", "Whether the remote takes no new pins.",
                 each(lambda one: one["closed_since"] is not None), "remote")  # fmt: skip


def _gauge(name: str, text: str, value: float | Mapping[Any, float] | None, *labels: str) -> GaugeMetricFamily:
    """One value, or one for each set of labels; None is not known, and has no sample."""
    family = GaugeMetricFamily(f"pinsync_{name}", text, labels=labels)
    if isinstance(value, Mapping):
        for of, one in value.items():
            family.add_metric(of, float(one))
    elif value is not None:
        family.add_metric([], float(value))
    return family


class _Both:
    """What an encoder asks for: something to collect from."""

    def __init__(self, record: Record | None, tally: Tally | None, process: bool) -> None:
        self._record, self._tally, self._process = record, tally, process

    def collect(self) -> Iterator[Metric]:
        yield from families(self._record)
        if self._tally is not None:
            yield from self._tally.collect()
            if self._process:
                yield from self._tally.process()


def exposition(record: Record | None, tally: Tally, accept: str = "") -> tuple[bytes, str]:
    """The text and its content type, in the format that `accept` (an HTTP header) asks for."""
    encode, kind = choose_encoder(accept)
    return encode(_Both(record, tally, process=True)), kind


def textfile(record: Record | None, tally: Tally | None = None) -> bytes:
    """The text for node_exporter, which shows it among its own; without `tally` what the ledger says alone."""
    return choose_encoder("")[0](_Both(record, tally, process=False))

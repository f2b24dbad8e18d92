"""The console as a process: `python -m services.console`. It serves the page at the address of `console_url`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from secrets import token_urlsafe
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette

from adapters.cases.opening import open_desk
from adapters.kafka.progress import publish_progress
from adapters.kafka.topics import ensure_topics
from adapters.local_stack.network_faults import NetworkFaults
from adapters.local_stack.simulated_world import simulated_world
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.policy_file import read_policies
from adapters.runtime.process import Process, run_service
from adapters.runtime.retry import StoppableRetry
from adapters.runtime.settings import Settings
from adapters.runtime.step_hold import StepHold
from adapters.scoring.api_keys import KeyRing
from adapters.scoring.client import ExplanationClient, PreviewClient
from cardwatch.errors import CardwatchError, Misconfigured, PortInUse
from cardwatch.events import Action
from cardwatch.live.topic_state import TopicState
from services.console.broadcast import Broadcaster
from services.console.case_metrics import CaseKeeper, CaseMetrics
from services.console.case_routes import CaseRoutes
from services.console.containers import ContainerProcesses, parse_endpoints
from services.console.decision_details import DecisionDetails
from services.console.fault_routes import FaultRoutes
from services.console.fault_switches import FaultSwitches
from services.console.feed import Feed
from services.console.follower import TopicFollower
from services.console.guard import Guard
from services.console.labels import Labeller
from services.console.letters import Letters
from services.console.model_routes import ModelRoutes
from services.console.network_switches import NetworkSwitches
from services.console.page_file import read_page
from services.console.processes import StackProcesses, WatchedProcesses
from services.console.record_routes import RecordRoutes
from services.console.recording import RunRecording
from services.console.routes import ConsoleRoutes
from services.console.sending import Sender
from services.console.steps import CommitSteps

MAX_CONNECTIONS: Final = 300
"""More than `MAX_PAGES`: while pages are refused, faults can still be switched off."""
MIN_TOKEN_LENGTH: Final = 16
_START_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


def main() -> None:
    """Serve the console until SIGTERM."""
    with run_service("console") as process, ExitStack() as stack:
        settings = process.settings
        policies = read_policies(settings)
        policy = policies.decision
        stops = {Action.CHALLENGE.value: policy.challenge_stops_fraud, Action.DECLINE.value: 1.0}
        recording = None
        if settings.console_recording:
            recording = stack.enter_context(RunRecording(Path(settings.console_recording)))
        on_decision = None if recording is None else recording.decided
        state, broadcaster = TopicState(stops, time.monotonic(), on_decision=on_decision), Broadcaster()
        processes = _watched(settings)
        hold = StepHold(StackHome(settings).folder / "run") if settings.hold_steps else None
        feed = Feed(processes, state, broadcaster, steps=CommitSteps(hold), recording=recording)
        client = stack.enter_context(closing(ExplanationClient(settings)))
        host, port = _address(settings)
        keys = KeyRing(settings.api_key, settings.keys_file)
        guard = Guard({f"{host}:{port}", f"localhost:{port}"}, token_of(settings), keys)
        previews = stack.enter_context(closing(PreviewClient(settings)))
        sender = stack.enter_context(closing(Sender(settings, state, previews, simulated_world(settings))))
        records = RecordRoutes(sender, Labeller(settings, state), Letters(settings))
        details = DecisionDetails(state, client, policy)
        network = NetworkSwitches(NetworkFaults(StackHome(settings)), state)
        faults = FaultSwitches(
            state, processes, network, lambda record: publish_progress(settings.kafka, record), feed.live_rate
        )
        desk = open_desk(settings, policies, state.event_time)
        cases = CaseKeeper(desk, CaseMetrics())
        more = [
            *records.endpoints(),
            *FaultRoutes(faults).endpoints(),
            *ModelRoutes(settings).endpoints(),
            *CaseRoutes(desk).endpoints(),
        ]
        routes = ConsoleRoutes(guard, read_page(), broadcaster, feed, processes, details, more)
        background = Background(process.stopping)
        for work_of in (
            feed.keep_asking, feed.keep_publishing, faults.keep_resuming, network.keep_ending, cases.keep_counting,
        ):  # fmt: skip
            stack.callback(background.start(work_of).join)
        stack.callback(_serve(routes.application(), settings.bind or host, port, broadcaster))
        follower = TopicFollower(settings.kafka)
        process.keep_working(lambda: work(process, feed, follower))
        background.raise_failure()


class Background:
    """Threads that work until `stopping` is set. One that fails sets it: pages that stand still must not look alive."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._failure: Exception | None = None

    def start(self, work_of: Callable[[threading.Event], None]) -> threading.Thread:
        """Start a thread and return it."""
        thread = threading.Thread(target=self._run, args=(work_of,), name=work_of.__name__, daemon=True)
        thread.start()
        return thread

    def raise_failure(self) -> None:
        """Raise `CardwatchError` if a thread has failed: the process ends with an error, and is started again."""
        if self._failure is not None:
            raise CardwatchError(f"a thread of the console has failed: {self._failure!r}") from self._failure

    def _run(self, work_of: Callable[[threading.Event], None]) -> None:
        try:
            work_of(self._stopping)
        except Exception as error:
            log.exception("%s has failed, and the console ends", work_of.__name__)
            self._failure = error
            self._stopping.set()


def _watched(settings: Settings) -> WatchedProcesses:
    if settings.console_watches:
        return ContainerProcesses(parse_endpoints(settings.console_watches), settings.kafka)
    return StackProcesses(StackHome(settings), settings.kafka)


def work(process: Process, feed: Feed, follower: TopicFollower) -> None:
    """Follow the topics, from where `follower` was when the broker was lost."""
    settings = process.settings
    ensure_topics(settings.kafka, partitions=settings.partitions)
    with follower:
        feed.follow(follower, StoppableRetry(process.stopping, process.health))


def _address(settings: Settings) -> tuple[str, int]:
    """Return host and port under which browsers reach the console. Raises `Misconfigured` if something is missing."""
    address = urlsplit(settings.console_url)
    if address.port is None or address.hostname is None:
        raise Misconfigured("CARDWATCH_CONSOLE_URL is needed: the address of the console, like http://127.0.0.1:8080")
    return address.hostname, address.port


def token_of(settings: Settings) -> str:
    """Return the token that changes need. Without a given one it is random, so that nobody can change anything."""
    if not settings.console_token:
        log.warning("CARDWATCH_CONSOLE_TOKEN is not set: the page shows everything, and changes nothing")
        return token_urlsafe(32)
    if len(settings.console_token) < MIN_TOKEN_LENGTH:
        raise Misconfigured(f"CARDWATCH_CONSOLE_TOKEN needs at least {MIN_TOKEN_LENGTH} characters")
    return settings.console_token


def _serve(application: Starlette, host: str, port: int, broadcaster: Broadcaster) -> Callable[[], None]:
    """Serve in a thread, and return what ends it. Raises `PortInUse` if it does not listen."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
        lifespan="off",
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="pages", daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    if not server.started:
        raise PortInUse(f"CARDWATCH_CONSOLE_URL: {host}:{port} cannot be listened on")

    def end() -> None:
        broadcaster.close()
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)

    return end


if __name__ == "__main__":
    main()

"""What is sent, one after the other without end: callbacks, genuine twins of them, and a vendor's repeats."""

import time
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from bridge.simulate.markers import Marker
from bridge.simulate.mix import Weighted
from bridge.simulate.samples import Sample, samples_of
from bridge.simulate.scenes import Scene
from bridge.simulate.world import World
from schemas.catalog import CommandSpec

REPEAT_WITHIN: Final = 50
"""A repeat comes at most so many callbacks after the first."""


@dataclass(slots=True, eq=False)
class Story:
    """What everything that carries one marker has in common.

    ``events`` is how many events one callback of it becomes. ``twins`` says that two genuine callbacks carry
    the marker, byte for byte alike, ``apart`` that the row's identity keeps them apart by what is no part of
    the body. ``restless`` says that nothing tells a repeat from a second callback, so each gets its own id.
    ``app`` is empty where the vendor names none.
    """

    marker: Marker
    spec: CommandSpec
    app: str
    events: int
    group: str
    users: Sequence[str]
    restless: bool = False
    twins: bool = False
    apart: bool = False
    first_sent_ns: int = 0


class Sending(NamedTuple):
    """One request to be sent. ``twin`` numbers the genuine callbacks of one story, from 0."""

    story: Story
    query: str
    operation_id: str
    body: bytes
    twin: int = 0
    is_repeat: bool = False

    @property
    def asks(self) -> bool:
        """Whether it is a question: a before-callback."""
        return self.story.spec.phase == "before"


class Traffic:
    """An endless supply of sendings, made when they are asked for. The same seed gives the same course.

    ``identical`` is the share of after-callbacks that get a genuine twin, ``repeat`` that of those the
    vendor repeats. ``request_ids`` has Tencent name each callback, as only some of its products do.
    """

    def __init__(
        self,
        provider: str,
        weighted: Weighted,
        *,
        run: str,
        seed: int,
        app: str = "",
        identical: float = 0.0,
        repeat: float = 0.0,
        request_ids: bool = False,
    ) -> None:
        self._rng = Random(seed)  # noqa: S311 reproducible, and no secret
        self._provider, self._run, self._app = provider, run, app
        self._identical, self._repeat, self._request_ids = identical, repeat, request_ids
        self._samples = samples_of(weighted.specs)
        self._weights = list(weighted.weights)
        self._world = World(run, self._rng)
        self._made = 0
        self._twins: deque[Sending] = deque()
        self._repeats: list[tuple[int, Sending]] = []

    def next(self) -> Sending:
        """Return what is sent next."""
        if self._twins:
            return self._twins.popleft()
        if self._repeats and self._repeats[0][0] <= self._made:
            return self._repeats.pop(0)[1]
        return self._callback()

    def _callback(self) -> Sending:
        sample = self._rng.choices(self._samples, self._weights)[0]
        marker = Marker(self._run, self._made)
        self._made += 1
        scene = Scene(sample, self._world, self._rng, str(marker), self._app, time.time_ns() // 1_000_000)
        operation = self._operation(scene)
        story = Story(marker, sample.spec, self._app, sample.events, scene.group.id, scene.subjects)
        story.restless = sample.by_operation and not operation and not sample.timed
        sending = Sending(
            story, self._query(sample, scene, operation), operation, sample.template.render(scene)
        )
        if not sending.asks:
            self._multiply(sending, sample)
        return sending

    def _multiply(self, sending: Sending, sample: Sample) -> None:
        if self._rng.random() < self._identical:
            self._twins.append(self._twin(sending, sample))
        if self._rng.random() < self._repeat:
            due = self._made + self._rng.randint(1, REPEAT_WITHIN)
            self._repeats.append((due, sending._replace(is_repeat=True)))
            self._repeats.sort(key=lambda entry: entry[0])

    def _twin(self, sending: Sending, sample: Sample) -> Sending:
        """Return a callback with the same bytes: its operation is another one, where that is not in them."""
        story, operation = sending.story, sending.operation_id
        if operation and "op" not in sample.template.slots:
            operation = self._new_operation()
        story.twins = True
        story.apart = story.restless or (sample.by_operation and operation != sending.operation_id)
        query = sending.query
        if self._request_ids:
            query = query.replace(sending.operation_id, operation)
        return sending._replace(operation_id=operation, query=query, twin=1)

    def _operation(self, scene: Scene) -> str:
        if self._provider == "tencent" and not self._request_ids:
            return ""
        scene["op"] = operation = self._new_operation()
        return operation

    def _new_operation(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _query(self, sample: Sample, scene: Scene, operation: str) -> str:
        if self._provider == "tencent":
            named = {**sample.query, "SdkAppid": self._app}
            return urlencode(named | ({"RequestID": operation} if operation else {}))
        if sample.key is None:
            return ""
        return "key=" + quote(b64encode(sample.key.render(scene)).decode())

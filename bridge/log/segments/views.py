"""The segment logs of one data directory as this process sees them, found again as new ones appear."""

from pathlib import Path
from threading import Lock

from bridge.errors import LogCorrupt, LogUnavailable
from bridge.log.segments.control import ControlLog
from bridge.log.segments.layout import CONTROL_NUMBER, log_directories
from bridge.log.segments.view import LogView
from bridge.telemetry import logger
from schemas.topics import Topic

_log = logger("segments")


class Views:
    """One ``LogView`` per log, by number. Blocking; safe to call from several threads."""

    def __init__(self, data_dir: Path, control: ControlLog) -> None:
        self._data_dir, self._control = data_dir, control
        self._lock = Lock()
        self._views: dict[int, LogView] = {}
        self._unusable: set[int] = set()

    def numbers(self, topic: Topic) -> list[int]:
        """Return the partitions of ``topic`` there are now. Raises FormatTooNew."""
        with self._lock:
            self._find()
            home = topic.home
            return [number for number in self._views if number == CONTROL_NUMBER or home == "journal"]

    def of(self, number: int) -> LogView:
        """Return the log with this number. Raises LogUnavailable (there is none to read), FormatTooNew."""
        with self._lock:
            if number not in self._views:
                self._find()
            if number not in self._views:
                there = sorted(self._views) or "none"
                raise LogUnavailable(f"{self._data_dir} has no log number {number} to read: it has {there}")
            return self._views[number]

    def _find(self) -> None:
        if CONTROL_NUMBER not in self._views:
            self._make_control()
        for number, directory in log_directories(self._data_dir).items():
            if number not in self._views:
                self._look_at(number, directory)

    def _look_at(self, number: int, directory: Path) -> None:
        """Take the log in. One that cannot be identified is named once and does not stop the others."""
        try:
            self._views[number] = LogView(directory)
        except (LogUnavailable, LogCorrupt) as error:
            if number not in self._unusable:
                _log.error("log.unusable", directory=str(directory), error=str(error))
            self._unusable.add(number)

    def _make_control(self) -> None:
        """Make control, so that partition 0 is there from the start; without room journals are still read."""
        try:
            self._control.create()
        except (LogUnavailable, LogCorrupt) as error:
            if CONTROL_NUMBER not in self._unusable:
                _log.warning("control.not_made", directory=str(self._control.directory), error=str(error))
            self._unusable.add(CONTROL_NUMBER)

    def close(self) -> None:
        """Release every file."""
        with self._lock:
            for view in self._views.values():
                view.close()
            self._views.clear()

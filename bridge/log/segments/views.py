"""The segment logs of one data directory as this process sees them, found again as new ones appear."""

from pathlib import Path
from threading import Lock

from bridge.errors import JournalFailed, LogUnavailable
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
        self._warned = False

    def numbers(self, topic: Topic) -> list[int]:
        """Return the partitions of ``topic`` there are now.

        Raises LogUnavailable, LogCorrupt, FormatTooNew.
        """
        with self._lock:
            self._find()
            home = topic.home
            return [number for number in self._views if number == CONTROL_NUMBER or home == "journal"]

    def of(self, number: int) -> LogView:
        """Return the log with this number.

        Raises LogUnavailable (there is none), LogCorrupt, FormatTooNew.
        """
        with self._lock:
            if number not in self._views:
                self._find()
            if number not in self._views:
                raise LogUnavailable(
                    f"{self._data_dir} has no log number {number}: it has {sorted(self._views) or 'none'}"
                )
            return self._views[number]

    def _find(self) -> None:
        if CONTROL_NUMBER not in self._views:
            self._make_control()
        for number, directory in log_directories(self._data_dir).items():
            if number not in self._views:
                self._views[number] = LogView(directory)

    def _make_control(self) -> None:
        """Make control, so that partition 0 is there from the start; without room journals are still read."""
        try:
            self._control.create()
        except (LogUnavailable, JournalFailed) as error:
            if not self._warned:
                _log.warning("control.not_made", directory=str(self._control.directory), error=str(error))
            self._warned = True

    def close(self) -> None:
        """Release every file."""
        with self._lock:
            for view in self._views.values():
                view.close()
            self._views.clear()

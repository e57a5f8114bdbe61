"""How the parts that gate readiness are doing, in words for operators."""

from collections.abc import Mapping

from bridge.ingress.ingress import Ingress
from bridge.main.journal import JournalKeeper
from bridge.ops.server import Part
from consumers.rules import RulesConsumer


def ingress_parts(keeper: JournalKeeper, ingress: Ingress) -> Mapping[str, Part]:
    """Return the journal, which acknowledgements rest on, and the ingress with what it could not record."""
    status = ingress.status()
    dropped = status.decision_events_dropped
    says = f"{status.waiting} after-callbacks wait for the disk, {dropped} decision events dropped"
    return {"journal": _journal(keeper), "ingress": Part(not dropped, says, details=status._asdict())}


def _journal(keeper: JournalKeeper) -> Part:
    journal = keeper.journal
    if journal is None:
        return Part(False, f"unusable, after-callbacks are refused: {keeper.reason}", gates=True)
    details = {"number": journal.number, "log": journal.log_id, "end": journal.end_offset}
    if journal.is_writable():
        return Part(True, f"writable, {journal.lost_records} records found lost", gates=True, details=details)
    why = "full, after-callbacks are refused: free disk space" if journal.is_full() else "no longer writable"
    return Part(False, why, gates=True, details=details)


def rules_part(rules: RulesConsumer) -> Part:
    """Return which set answers, how old it is, and whether the rules have been read."""
    status = rules.status()
    details = {"stale_seconds": status.staleness_seconds, "fallback": status.fallback}
    if status.rule_set is None:
        says = f"no rules are published in set {status.set_name!r}: the fallback answers {status.fallback!r}"
    else:
        says = f"set {status.rule_set.name!r} version {status.rule_set.version}, {status.rules} rules"
    if status.rejected is not None:
        says += f"; version {status.rejected.version} was rejected"
    if not status.connected and status.disconnected_because:
        says += f"; the rules topic cannot be read: {status.disconnected_because}"
    return Part(status.ready, says, gates=True, details=details)

"""Every projection there is, under the name by which settings, metrics and the command line know it."""

from collections.abc import Mapping
from typing import Final

from consumers.projections.base import Projection
from consumers.projections.decisions import DecisionsProjection
from consumers.projections.groups import GroupsProjection

PROJECTIONS: Final[Mapping[str, Projection]] = {
    projection.name: projection for projection in (GroupsProjection(), DecisionsProjection())
}

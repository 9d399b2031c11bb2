"""The customer's request to begin before the right of withdrawal ends, as an event of the pack.

Events are kept as long as consents: until the deletion certificate of the shoot expires."""

from uuid import UUID

from headshots.shoots.consent import ConsentText, in_version
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, Pack

TEXT = "begin_now"
_EVENT = "order.begin_now"


def record_request_to_begin(*, pack: Pack, version: str) -> None:
    """Record that the customer agreed to this version of the text with the order of this pack."""
    record(_EVENT, shoot_id=pack.shoot_id, pack_id=pack.pk, actor=Event.Actor.PERSON, codes={"version": version})


def find_agreed_text(*, shoot_id: UUID, pack_id: UUID) -> ConsentText | None:
    """Find the text that the customer agreed to with the order of a pack. Returns None if there is none."""
    event = Event.objects.filter(shoot_id=shoot_id, pack_id=pack_id, name=_EVENT).last()
    return in_version(TEXT, event.codes["version"]) if event else None

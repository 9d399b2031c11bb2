"""Which situations a made-up order of events came to, read off what the product itself wrote down about its packs."""

from collections.abc import Iterable
from uuid import UUID

from headshots.shoots.models import Event

# What was written about one pack, in this order, with anything in between.
SITUATIONS = {
    "a paid pack is delivered": ("payment.paid", "pack.delivered"),
    "a paid pack fails for good": ("payment.paid", "pack.failed"),
    "a failed pack gives its credit back": ("pack.failed", "credit.returned"),
    "a failed pack is queued again": ("pack.failed", "pack.queued"),
    "the money goes back after a failure": ("pack.failed", "payment.refunded"),
    "a bank disputes after a failure": ("pack.failed", "payment.disputed"),
    "a bank disputes after delivery": ("pack.delivered", "payment.disputed"),
    "a delivered pack is to be redone": ("pack.delivered", "credit.redo"),
    "what is there is kept": ("payment.paid", "pack.awaiting_answer", "pack.delivered"),
    "what is there is refused": ("payment.paid", "pack.awaiting_answer", "pack.canceled incomplete"),
    "the money goes back before the answer": ("pack.awaiting_answer", "pack.revoked refunded"),
    "the money goes back in mid-pack": ("pack.queued", "pack.revoked refunded"),
    "a bank disputes in mid-pack": ("pack.queued", "pack.revoked revoked"),
    "photos go in mid-pack": ("pack.queued", "pack.canceled photos_deleted"),
    "the account is closed in mid-pack": ("pack.queued", "pack.canceled account_deleted"),
    "paid when the photos had gone": ("pack.canceled photos_deleted", "payment.paid"),
}


def situations() -> set[str]:
    """Those of SITUATIONS that some pack in the database went through."""
    stories: dict[UUID | None, list[str]] = {}
    for pack_id, name, codes in Event.objects.order_by("pk").values_list("pack_id", "name", "codes"):
        stories.setdefault(pack_id, []).extend([name, f"{name} {codes.get('reason', '')}"])
    return {words for words, names in SITUATIONS.items() if any(_tells(story, names) for story in stories.values())}


def _tells(story: Iterable[str], names: Iterable[str]) -> bool:
    rest = iter(story)
    return all(name in rest for name in names)

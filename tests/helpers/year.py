"""A year of a busy product, out of a seed: rows and events as the product would have left them.

Two differences to the truth, both on purpose: headshot rows stay after their pack was forgotten, so that the tables
are as large as they can be, and nothing is behind the blobs.
"""

import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from django.db import connection, models, transaction

from headshots.dashboard.models import Visit
from headshots.engine import Reason
from headshots.payments.models import LedgerEntry
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot, Style
from headshots.vault.blob_ids import first_id_at
from headshots.vault.models import Blob

PREVIEW_PICTURES, PREMIUM_PICTURES = 4, 50
# Of those who get a preview.
PREMIUM_SHARE = 0.38
WORKERS = {"studio": ("render@attic", "render@cellar"), "instantid": ("render@gpu-1", "render@gpu-2", "render@gpu-3")}
PAGES = ("pages:home", "pages:how", "shoots:new", "account_signup")
RESULT_LIFE, SOURCE_LIFE = timedelta(days=30), timedelta(hours=24)
_BATCH = 400
# The end of an id says which copy a row is (tests/helpers/year_copies.py).
_COPY = 0xFF
# What every database takes as it is.
_PLAIN = (str, int, float, bool, type(None))


@dataclass
class Rows:
    """What is written next, in the order in which rows depend on each other."""

    shoots: list[Shoot] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    photos: list[Photo] = field(default_factory=list)
    packs: list[Pack] = field(default_factory=list)
    headshots: list[Headshot] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)

    def store(self) -> None:
        kinds: tuple[tuple[type[models.Model], list[models.Model]], ...] = (
            (Shoot, self.shoots), (Consent, self.consents), (Blob, self.blobs), (Photo, self.photos),
            (Pack, self.packs), (Headshot, self.headshots), (Event, self.events), (LedgerEntry, self.ledger),
        )  # fmt: skip
        with transaction.atomic():
            for model, rows in kinds:
                if rows:
                    insert(model, rows)


def insert(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """As bulk_create does, several times as fast: one prepared statement, and times that are there stay."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    quote = connection.ops.quote_name
    columns, places = ", ".join(quote(field.column) for field in fields), ", ".join(["%s"] * len(fields))
    names = [(field, field.attname) for field in fields]

    def values(row: models.Model) -> list[object]:
        return [
            value if type(value) in _PLAIN else field.get_db_prep_save(value, connection)
            for field, name in names
            for value in [getattr(row, name)]
        ]

    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})",  # noqa: S608 - names of ours
            [values(row) for row in rows],
        )


class Year:
    """Writes it. The same seed and end give the same rows."""

    def __init__(self, *, until: datetime, shoots: int, days: int = 365, seed: int = 1) -> None:
        self.until, self.shoots, self.days = until, shoots, days
        self.rng = random.Random(seed)
        seed_styles()
        self.styles = list(Style.objects.order_by("position"))

    def write(self) -> None:
        whole = iter(range(self.shoots))
        while part := list(islice(whole, _BATCH)):
            rows = Rows()
            for _ in part:
                self._shoot(rows)
            rows.store()
        Visit.objects.bulk_create(self._visits())

    def _visits(self) -> Iterator[Visit]:
        for number in range(self.days + 1):
            for page in PAGES:
                views = self.rng.randrange(50, 2000)
                day = (self.until - timedelta(days=number)).date()
                yield Visit(day=day, page=page, views=views, visits=views // self.rng.randrange(2, 5))

    def _id(self) -> uuid.UUID:
        return uuid.UUID(int=self.rng.getrandbits(128) & ~_COPY, version=4)

    def _shoot(self, rows: Rows) -> None:
        rng = self.rng
        opened = self.until - timedelta(seconds=rng.uniform(0, self.days * 86_400))
        is_open = opened + SOURCE_LIFE > self.until
        shoot = Shoot(id=self._id(), created_at=opened, delete_after=opened + SOURCE_LIFE)
        shoot.state = Shoot.State.OPEN if is_open else Shoot.State.PURGED
        rows.shoots.append(shoot)
        rows.consents.append(Consent(shoot=shoot, consent_version="x", is_me_version="x", given_at=opened))
        photos = rng.choices((1, 2, 3, 4, 5), (60, 20, 10, 6, 4))[0]
        self._event(rows, opened, "shoot.opened", shoot, numbers={"photos": photos})
        usable = [self._photo(rows, shoot, position) for position in range(photos)]
        if not is_open:
            shoot.purged_at = shoot.delete_after
            self._event(rows, shoot.purged_at, "shoot.purged", shoot, numbers={"rows": photos})
        if not any(usable):
            return
        preview = self._pack(rows, shoot, Pack.Kind.PREVIEW, opened + timedelta(seconds=rng.uniform(1, 5)))
        if preview.state in (Pack.State.DELIVERED, Pack.State.FORGOTTEN) and rng.random() < PREMIUM_SHARE:
            ordered = opened + timedelta(seconds=rng.uniform(120, 70_000))
            if ordered < self.until:
                self._pay(rows, self._pack(rows, shoot, Pack.Kind.PREMIUM, ordered))
        if rng.random() < 0.002:
            self._pack(rows, shoot, Pack.Kind.TRIAL, opened + timedelta(minutes=1))

    def _pay(self, rows: Rows, pack: Pack) -> None:
        """The ledger of a premium pack: what came, and sometimes what went back. A few are paid in euros."""
        currency = self.rng.choices(("usd", "eur"), (9, 1))[0]
        kinds = [("charge", pack.queued_at, 1900)]
        if self.rng.random() < 0.04:
            kinds.append(("refund", pack.queued_at + timedelta(hours=self.rng.randrange(1, 90)), -1900))
        for kind, at, amount in kinds:
            if at is not None and at <= self.until:
                rows.ledger.append(
                    LedgerEntry(
                        at=at, kind=kind, amount=amount, currency=currency, mode="live", payment_id=pack.pk,
                        stripe_id=str(pack.pk),
                    )
                )  # fmt: skip

    def _photo(self, rows: Rows, shoot: Shoot, position: int) -> bool:
        """Whether it will do."""
        rng, state, reasons = self.rng, Photo.State.ACCEPTED, list[str]()
        if rng.random() < 0.13:
            state = Photo.State.REFUSED
            reasons = [reason.value for reason in rng.sample(list(Reason), rng.choices((1, 2), (8, 2))[0])]
        at = shoot.created_at + timedelta(seconds=rng.uniform(0.2, 1))
        if rng.random() < 0.04:
            self._event(rows, at, "photo.choose_face", shoot, codes={"reasons": []})
        self._event(rows, at, f"photo.{state}", shoot, codes={"reasons": reasons})
        if shoot.state == Shoot.State.OPEN:
            blob = self._blob(rows, "source", shoot.pk, "photo", shoot.created_at)
            photo = Photo(id=self._id(), shoot=shoot, position=position, state=state, reasons=reasons, blob=blob)
            rows.photos.append(photo)
        return state != Photo.State.REFUSED

    def _blob(self, rows: Rows, ring: str, key_id: uuid.UUID, kind: str, at: datetime) -> Blob:
        size = self.rng.randrange(200_000, 4_000_000)
        blob_id = uuid.UUID(int=(first_id_at(at).int | self.rng.getrandbits(62)) & ~_COPY)
        blob = Blob(id=blob_id, ring=ring, key_id=key_id, kind=kind, size=size, created_at=at)
        rows.blobs.append(blob)
        return blob

    def _pack(self, rows: Rows, shoot: Shoot, kind: str, queued: datetime) -> Pack:
        rng, State = self.rng, Pack.State  # noqa: N806
        total = PREMIUM_PICTURES if kind == Pack.Kind.PREMIUM else PREVIEW_PICTURES
        seconds = round(rng.lognormvariate(6.2, 0.5) if kind == Pack.Kind.PREMIUM else rng.uniform(4, 60))
        engine = rng.choices(("studio", "instantid"), (7, 3))[0]
        pack = Pack(
            id=self._id(), shoot=shoot, kind=kind, state=State.DELIVERED, engine=engine, total=total,
            seed=rng.randrange(2**31), width=896, height=1120, created_at=queued, queued_at=queued,
        )  # fmt: skip
        rows.packs.append(pack)
        self._pack_event(rows, queued, "queued", pack)
        ended = queued + timedelta(seconds=seconds)
        if ended > self.until:
            pack.state = State.RENDERING if rng.random() < 0.3 else State.QUEUED
            self._headshots(rows, pack, None)
            return pack
        end = rng.choices((State.DELIVERED, State.FAILED, State.CANCELED, State.REVOKED), (96, 2, 1.5, 0.5))[0]
        self._end(rows, pack, end, ended, seconds)
        return pack

    def _end(self, rows: Rows, pack: Pack, end: str, ended: datetime, seconds: int) -> None:
        pack.state, numbers = end, {}
        if end == Pack.State.DELIVERED:
            pack.delivered_at, pack.expires_at = ended, ended + RESULT_LIFE
            numbers = {"pictures": pack.total, "seconds": seconds}
        elif end == Pack.State.FAILED:
            pack.reason = self.rng.choice(("not_alike", "engine_failed", "no_face"))
        elif end == Pack.State.CANCELED:
            pack.reason = self.rng.choice(("photos_deleted", "staff"))
        self._headshots(rows, pack, ended)
        self._pack_event(rows, ended, end, pack, numbers)
        if ended + RESULT_LIFE < self.until:
            pack.state = Pack.State.FORGOTTEN
            self._pack_event(rows, ended + RESULT_LIFE, "forgotten", pack)

    def _headshots(self, rows: Rows, pack: Pack, ended: datetime | None) -> None:
        """Its rows, and what each worker says of its part in them."""
        rng = self.rng
        works: dict[str, dict[str, float]] = {}
        keeps = ended is not None and ended + RESULT_LIFE >= self.until
        missed = 1 if pack.state == Pack.State.FAILED else 0
        workers = rng.sample(WORKERS[pack.engine], 2 if pack.total > PREVIEW_PICTURES else 1)
        for index in range(pack.total):
            row = Headshot(
                id=self._id(), pack=pack, index=index, style=self.styles[index % len(self.styles)], seed=index
            )
            rows.headshots.append(row)
            if ended is None:
                continue
            row.lease_holder = workers[index % len(workers)]
            work = works.setdefault(row.lease_holder, {"pictures": 0, "seconds": 0.0})
            if rng.random() < 0.06:
                reason = rng.choice(("not_alike", "no_face", "several_faces"))
                work[f"reshot_{reason}"] = work.get(f"reshot_{reason}", 0) + 1
                pack.reshoots += 1
            if index < missed:
                row.state, row.reasons = Headshot.State.REJECTED, [pack.reason]
                continue
            row.state, row.done_at = Headshot.State.DONE, ended
            row.likeness = round(min(1.0, max(0.0, rng.gauss(0.86, 0.07))), 2)
            bucket = f"likeness_{round(100 * row.likeness)}"
            work[bucket] = work.get(bucket, 0) + 1
            work["pictures"] += 1
            work["seconds"] = round(work["seconds"] + rng.uniform(0.5, 3), 3)
            if keeps:
                row.blob = self._blob(rows, "result", pack.pk, "headshot", ended)
        if ended is not None and pack.state in (Pack.State.DELIVERED, Pack.State.FAILED):
            rejected: Counter[str] = Counter()
            for work in works.values():
                reshot = {key: int(count) for key, count in work.items() if key.startswith("reshot_")}
                rejected.update({f"rejected_{key.removeprefix('reshot_')}": count for key, count in reshot.items()})
            numbers = {"generated": pack.total - missed + pack.reshoots, "accepted": pack.total - missed, **rejected}
            self._pack_event(rows, ended, "gated", pack, {**numbers, "reshot": pack.reshoots, "replaced": 0})
        if ended is not None:
            for worker, numbers in works.items():
                self._pack_event(rows, ended, "shot", pack, numbers, worker=worker)

    def _pack_event(
        self, rows: Rows, at: datetime, what: str, pack: Pack, numbers: dict[str, float] | None = None, **codes: str
    ) -> None:
        codes = {"kind": pack.kind, "engine": pack.engine, **({"reason": pack.reason} if pack.reason else {}), **codes}
        self._event(rows, at, f"pack.{what}", pack.shoot, codes=codes, numbers=numbers, pack=pack)

    @staticmethod
    def _event(
        rows: Rows,
        at: datetime,
        name: str,
        shoot: Shoot,
        *,
        codes: dict[str, object] | None = None,
        numbers: dict[str, float] | None = None,
        pack: Pack | None = None,
    ) -> None:
        event = Event(at=at, name=name, shoot_id=shoot.pk, codes=codes or {}, numbers=numbers or {})
        event.pack_id = pack.pk if pack else None
        rows.events.append(event)

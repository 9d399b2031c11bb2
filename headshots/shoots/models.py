"""Models of a shoot: photos, consent, looks, packs, headshots. The pictures themselves are in the vault."""

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from headshots.shoots.events import Event as Event
from headshots.shoots.events import Pause as Pause
from headshots.vault.models import Blob
from headshots.web.humanize import humanize_size


class Shoot(models.Model):
    """One person, one set of photos, one consent. Its id is also the id of its key in the source ring."""

    class State(models.TextChoices):
        OPEN = "open"
        PURGING = "purging"
        PURGED = "purged"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="shoots"
    )
    # Idempotency key, one per rendered upload form: sent twice, it is still one shoot.
    submission = models.UUIDField(null=True, blank=True, editable=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    # Asked for by the person: the finished headshots go too, not only the photos.
    purge_everything = models.BooleanField(default=False)
    # What the person said about themselves for engines that draw them anew. Goes with the photos, the shoot stays.
    self_description_blob = models.OneToOneField(
        Blob, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Asked for at the order: the photos stay until `delete_after` for another pack, not only until the delivery.
    keep_photos = models.BooleanField(default=False)
    # Until then the person lets support look at the finished headshots.
    support_until = models.DateTimeField(null=True, blank=True)
    # The source ring as it was when the key was made: if the ring is another one now, the key is lost.
    keyring_epoch = models.UUIDField(null=True, editable=False)
    # The person picks their face before any faces are compared; other people's are then never embedded.
    ask_first = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    delete_after = models.DateTimeField()
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "delete_after"]),
            models.Index(fields=["state", "keyring_epoch"]),
            models.Index(fields=["owner", "-created_at"]),
            models.Index(
                # The owner, always none here, is what makes SQLite take this index.
                fields=["owner", "delete_after"],
                condition=models.Q(owner=None, purge_everything=False),
                name="ownerless_shoot_by_time",
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["owner", "submission"], name="one_shoot_per_submission")]

    def __str__(self) -> str:
        return str(self.id)

    def get_absolute_url(self) -> str:
        return reverse("shoots:detail", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN


class Consent(models.Model):
    """Which texts the person agreed to, and when. Outlives the photos: it proves that they were asked."""

    shoot = models.OneToOneField(Shoot, on_delete=models.PROTECT, related_name="consent")
    consent_version = models.CharField(max_length=32)
    is_me_version = models.CharField(max_length=32)
    given_at = models.DateTimeField(default=timezone.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.consent_version}, {self.is_me_version}"


class Photo(models.Model):
    """One uploaded photo and the verdict on it, in codes. What was measured of its faces is in the vault."""

    class State(models.TextChoices):
        UPLOADED = "uploaded"
        ACCEPTED = "accepted"
        WARNED = "warned"
        CHOOSE_FACE = "choose_face"
        REFUSED = "refused"

    USABLE = (State.ACCEPTED, State.WARNED)
    DECIDED = (State.ACCEPTED, State.WARNED, State.REFUSED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    shoot = models.ForeignKey(Shoot, on_delete=models.CASCADE, related_name="photos")
    position = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.UPLOADED)
    reasons = models.JSONField(default=list, blank=True)
    chosen_face = models.PositiveSmallIntegerField(null=True, blank=True)
    # The customer's face as proposed by comparing all photos. Negative: NOT_IN_IT, UNDECIDED of uploads/identity.py.
    proposed_face = models.SmallIntegerField(null=True, blank=True)
    # The customer chose `chosen_face`.
    picked = models.BooleanField(default=False)
    face_count = models.PositiveSmallIntegerField(default=0)
    # How good the photo is, 0 to 100, and the codes of what would help most: of the photo, not of the face. Here since
    # the page that is polled shows them, and packs begin with the best photo.
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    tips = models.JSONField(default=list, blank=True)
    checks = models.PositiveSmallIntegerField(default=0)
    blob = models.OneToOneField(Blob, on_delete=models.PROTECT, related_name="+")
    # Boxes, meshes and measurements of the faces found: private, hence a blob.
    faces_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["shoot", "position"], name="photo_position_unique")]

    def __str__(self) -> str:
        return str(self.id)


class FaceCrop(models.Model):
    """A small picture of one face of a photo, for the question "which one is you?"."""

    photo = models.ForeignKey(Photo, on_delete=models.CASCADE, related_name="face_crops")
    index = models.PositiveSmallIntegerField()
    blob = models.OneToOneField(Blob, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["photo", "index"], name="face_crop_index_unique")]

    def __str__(self) -> str:
        return f"{self.photo_id}/{self.index}"


class Style(models.Model):
    """Words and scales of a look, seeded from the pipeline's styles.toml, edited in the admin."""

    name = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=80)
    description = models.CharField(max_length=200, blank=True)
    # Set, light, grade and prompt: field names of pipeline.types.StyleSpec.
    recipe = models.JSONField(default=dict, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)
    # The price group: in free packs too, or in paid ones only.
    in_preview = models.BooleanField("in free packs", default=False)
    # Which of its versions is on offer; None until the first one is published.
    current = models.ForeignKey("StyleVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        verbose_name = "look"
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.title


class StyleVersion(models.Model):
    """A look as somebody of staff left it: a draft, until it is published. Never changed after."""

    style = models.ForeignKey(Style, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=80)
    description = models.CharField(max_length=200, blank=True)
    recipe = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # The number of their account; None for the built-in look, which is version 1.
    created_by = models.BigIntegerField(null=True, editable=False)
    published_at = models.DateTimeField(null=True, blank=True)
    # The pack that shows it on the built-in sample.
    trial = models.ForeignKey("Pack", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["style", "number"], name="one_version_per_number")]

    def __str__(self) -> str:
        return f"{self.title}, version {self.number}"


class Pack(models.Model):
    """A set of headshots ordered from a shoot. Its id is also the id of its key in the result ring."""

    class Kind(models.TextChoices):
        PREVIEW = "preview"
        PREMIUM = "premium"
        TRIAL = "trial"

    class State(models.TextChoices):
        AWAITING_PAYMENT = "awaiting_payment"
        QUEUED = "queued"
        RENDERING = "rendering"
        DELIVERED = "delivered"
        FAILED = "failed"
        CANCELED = "canceled"
        REVOKED = "revoked"
        DELETED = "deleted"

    class Reason(models.TextChoices):
        """Why the product ended a pack; one that the quality gate ended has a reason of `engine.Reason`."""

        STORAGE_FAILED = "storage_failed"
        ENGINE_BROKEN = "engine_broken"
        ENGINE_FAILED = "engine_failed"
        NOT_PAID = "not_paid"
        REFUNDED = "refunded"
        # The bank has taken the money back, or may.
        REVOKED = "revoked"
        ON_REQUEST = "on_request"
        STAFF = "staff"
        ACCOUNT_DELETED = "account_deleted"
        PHOTOS_DELETED = "photos_deleted"
        PHOTOS_LOST = "photos_lost"
        # Its person deleted the shoot when headshots of the pack were there to be had.
        USED_AFTER_DELIVERY = "used_after_delivery"

    LIVE = (State.AWAITING_PAYMENT, State.QUEUED, State.RENDERING)
    ENDED = (State.DELIVERED, State.FAILED, State.CANCELED, State.REVOKED)
    # Finished pictures of these are not kept, as if the pack had never been ordered.
    UNDONE = (State.CANCELED, State.REVOKED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    shoot = models.ForeignKey(Shoot, on_delete=models.PROTECT, related_name="packs")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices)
    # How it ended, also after it is deleted; empty while it is live.
    ended_as = models.CharField(max_length=16, choices=State.choices, blank=True)
    # Why it failed, was canceled or was revoked: one of `Reason`, or of `engine.Reason`. Templates hold the words.
    reason = models.CharField(max_length=32, blank=True)
    engine = models.CharField(max_length=16)
    total = models.PositiveSmallIntegerField()
    seed = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    # Tries beyond the planned ones, and shots that others stand in for.
    reshoots = models.PositiveSmallIntegerField(default=0)
    replacements = models.PositiveSmallIntegerField(default=0)
    # Runs in a row that ended in a fault and brought no picture.
    consecutive_failures = models.PositiveSmallIntegerField(default=0)
    # No worker begins on it before: what was at fault may be mended meanwhile.
    retry_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    # Its person has still to be told by mail that it is ready.
    mail_due = models.BooleanField(default=False)
    # When the finished headshots are deleted; set at its end.
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["state", "queued_at"]),
            models.Index(fields=["state", "expires_at"]),
            models.Index(fields=["state", "delivered_at"]),
            models.Index(fields=["kind", "state"], name="pack_by_kind_and_state"),
        ]
        constraints = [
            # Two workers finish checking at once: the second preview is refused by the database.
            models.UniqueConstraint(
                fields=["shoot"], condition=models.Q(kind="preview"), name="one_preview_pack_per_shoot"
            ),
            # A person may order again, but not while an order of theirs is being paid or made.
            models.UniqueConstraint(
                fields=["shoot"],
                condition=models.Q(kind="premium", state__in=["awaiting_payment", "queued", "rendering"]),
                name="one_live_premium_pack_per_shoot",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def size(self) -> str:
        """How large its headshots are, in words: "4K"."""
        return humanize_size(max(self.width, self.height))

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    @property
    def awaiting_retry(self) -> bool:
        """Whether it waits to be tried again after a fault."""
        return self.state == self.State.QUEUED and self.retry_at is not None and self.retry_at > timezone.now()


class Headshot(models.Model):
    """One shot of a pack, and the lease of the worker that is making it."""

    class State(models.TextChoices):
        PENDING = "pending"
        RENDERING = "rendering"
        DONE = "done"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pack = models.ForeignKey(Pack, on_delete=models.CASCADE, related_name="headshots")
    index = models.PositiveSmallIntegerField()
    style = models.ForeignKey(Style, on_delete=models.PROTECT, related_name="+")
    # Of the look, when it was planned: a pack is made in one version to its end.
    version = models.ForeignKey(StyleVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    seed = models.PositiveIntegerField()
    # How near the person stands and where the lamps do, in the pipeline's words.
    framing = models.CharField(max_length=16, default="classic")
    light = models.CharField(max_length=8, default="key")
    state = models.CharField(max_length=9, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True)
    # The worker's node name: one that starts again frees what it held when it died.
    lease_holder = models.CharField(max_length=255, blank=True, editable=False)
    # Rounded to 0.01: enough to rank by, too little to recognize by.
    likeness = models.FloatField(null=True, blank=True)
    quality = models.FloatField(null=True, blank=True)
    # What the finished picture looks like from afar: mean colors of twenty fields.
    perceptual_hash = models.CharField(max_length=120, blank=True, editable=False)
    # Pictures made for this shot; a shot that stands in for another begins anew.
    renders = models.PositiveSmallIntegerField(default=0)
    # Another shot than was planned stands here: the planned one did not pass the gate.
    replaced = models.BooleanField(default=False)
    reasons = models.JSONField(default=list, blank=True)
    blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    # Of a premium headshot: 1,200 px for pages, and a square around the face.
    web_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    profile_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["pack", "index"], name="headshot_index_unique")]
        indexes = [models.Index(fields=["state", "lease_until"])]

    def __str__(self) -> str:
        return f"{self.pack_id}/{self.index}"

    @property
    def look(self) -> StyleVersion | Style:
        """The look as it was when this was ordered, whatever has become of it since."""
        return self.version or self.style


class GateCount(models.Model):
    """How many pictures of a pack the gate saw end one way: `accepted`, or refused for the reason that weighed most.

    All of a pack together are what its engine made, so that no gate can hide a bad engine. Outlives the headshots."""

    ACCEPTED = "accepted"

    pack = models.ForeignKey(Pack, on_delete=models.CASCADE, related_name="gate_counts")
    outcome = models.CharField(max_length=32)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["outcome"]
        constraints = [models.UniqueConstraint(fields=["pack", "outcome"], name="one_gate_count_per_outcome")]

    def __str__(self) -> str:
        return f"{self.pack_id}/{self.outcome}"


class Preparation(models.Model):
    """The person of a pack made ready once for all its workers, where that takes long: the lease of the worker who is
    at it, and where the result lies. Goes with its blob: nothing of it may keep a purge from the photos' blobs."""

    pack = models.OneToOneField(Pack, on_delete=models.CASCADE, related_name="preparation")
    blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    lease_token = models.UUIDField(editable=False)
    lease_until = models.DateTimeField()
    lease_holder = models.CharField(max_length=255, blank=True, editable=False)
    began_at = models.DateTimeField()
    # How far it is, 0..1.
    share = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return f"of {self.pack_id}"

"""Something for staff to act on: one for each action."""

from collections.abc import Callable
from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard.models import AbuseReport
from headshots.payments.accounting.payment_state import confirm_payment
from headshots.payments.models import Credit, Payment
from headshots.retention.models import DeletionCertificate
from headshots.shoots import pauses
from headshots.shoots.lifecycle import advance
from headshots.shoots.looks.versions import LookContent, publish, save_draft
from headshots.shoots.models import Headshot, Pack, Pause, Shoot, Style, StyleVersion
from headshots.shoots.support_access import allow
from tests.helpers.factories import make_checked_shoot, make_preview, make_shoot, make_user, seed_styles


def failed_pack() -> Pack:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)
    Headshot.objects.filter(pack=pack, index=0).update(
        state="rejected", attempts=3, reasons=[Pack.Reason.ENGINE_FAILED]
    )
    Headshot.objects.filter(pack=pack, index__gt=0).update(state="done")
    advance(pack, Pack.State.FAILED, reason=Pack.Reason.ENGINE_FAILED)
    return pack


def blocked_account() -> User:
    account = make_user()
    User.objects.filter(pk=account.pk).update(is_active=False)
    return account


def account_with_second_factor() -> User:
    account = make_user()
    Authenticator.objects.create(user=account, type=Authenticator.Type.TOTP, data={"secret": "x"})
    return account


def paused_rendering() -> Pause.Part:
    pauses.pause(Pause.Part.RENDERING)
    return Pause.Part.RENDERING


def paid_payment() -> Payment:
    payment = Payment.objects.create(
        owner=make_user(), engine="fake", mode="test", amount=1900, currency="usd", expires_at=timezone.now()
    )
    confirm_payment(payment=payment, amount=1900, amount_tax=0, payment_intent="pi_1", session_id="cs_1")
    return payment


def mailed_credit() -> Credit:
    return Credit.objects.create(owner=make_user(), source=Credit.Source.GRANT)


def mailed_certificate() -> DeletionCertificate:
    now = timezone.now()
    return DeletionCertificate.objects.create(
        kind="shoot", owner=make_user(), requested_by="person", keep_until=now + timedelta(days=1), mailed_at=now
    )


def delivered_pack() -> Pack:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.DELIVERED)
    return pack


def shoot_with_support_access() -> Shoot:
    shoot = make_shoot()
    allow(shoot=shoot)
    shoot.refresh_from_db()
    return shoot


def draft_of_a_look() -> StyleVersion:
    seed_styles()
    style = Style.objects.first()
    return save_draft(style=style, look=LookContent("Another", "", style.recipe), created_by=1)


def older_version() -> StyleVersion:
    draft = draft_of_a_look()
    publish(version=draft)
    return draft.style.versions.last()


# A target on which each action is possible.
TARGETS: dict[str, Callable[[], object]] = {
    "retry-pack": failed_pack,
    "cancel-pack": make_preview,
    "purge-photos": make_shoot,
    "purge-everything": make_shoot,
    "block-account": make_user,
    "unblock-account": blocked_account,
    "confirm-adult": make_user,
    "resend-confirmation": make_user,
    "reset-second-factor": account_with_second_factor,
    "refund": paid_payment,
    "grant-credits": make_user,
    "grant-pack": make_checked_shoot,
    "resend-certificate": mailed_certificate,
    "resend-delivery-mail": delivered_pack,
    "resend-credit-mail": mailed_credit,
    "view-headshots": shoot_with_support_access,
    "publish-look": draft_of_a_look,
    "restore-look": older_version,
    "close-report": lambda: AbuseReport.objects.create(about="me"),
    "pause": lambda: Pause.Part.UPLOADS,
    "resume": paused_rendering,
}

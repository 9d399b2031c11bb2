"""Everything that staff can do to a pack, a shoot, an account or the product, one entry each."""

from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.http import Http404
from django.shortcuts import get_object_or_404

from headshots.accounts.models import Session, User
from headshots.dashboard.deeds import Action, NotPossible
from headshots.shoots import pausing, retrying
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Event, Pack, Pause, Shoot

_STAFF = Event.Actor.STAFF
Answers = dict[str, Any]


def _pack(pack_id: str) -> Pack:
    return get_object_or_404(Pack.objects.select_related("shoot"), pk=_uuid(pack_id))


def _shoot(shoot_id: str) -> Shoot:
    return get_object_or_404(Shoot, pk=_uuid(shoot_id))


def _account(account_id: str) -> User:
    if not account_id.isdecimal():
        raise Http404
    return get_object_or_404(User, pk=int(account_id))


def _part(what: str) -> Pause.What:
    try:
        return Pause.What(what)
    except ValueError:
        raise Http404 from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


# Packs ------------------------------------------------------------------------------------------------------------


def _why_no_retry(pack: Pack) -> str:
    if pack.state != Pack.State.FAILED:
        return f"Only a failed pack can be tried again; this one is {_words(pack.state)}."
    return "" if pack.shoot.is_open else "Its photos are gone: nothing more can be made of them."


def _retry(pack: Pack, answers: Answers) -> str:
    if not retrying.retry_pack(pack=pack, actor=_STAFF):
        raise NotPossible("It has changed at this moment. Please look again.")
    return "The pack is queued again."


def _why_no_cancel(pack: Pack) -> str:
    return "" if pack.is_live else f"Only a live pack can be cancelled; this one is {_words(pack.state)}."


def _cancel(pack: Pack, answers: Answers) -> str:
    if not advance(pack, Pack.State.CANCELLED, actor=_STAFF, reason="staff"):
        raise NotPossible("It has ended at this moment. Please look again.")
    return "The pack is cancelled."


# Shoots -----------------------------------------------------------------------------------------------------------


def _why_no_purge(shoot: Shoot) -> str:
    return "" if shoot.is_open else "Its photos are gone already, or are being destroyed."


def _purge(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=_STAFF):
        raise NotPossible(_why_no_purge(shoot))
    return "The photos' key is destroyed; what it sealed is removed within a minute."


def _why_no_full_purge(shoot: Shoot) -> str:
    return "Everything of it is gone already, or is being destroyed." if shoot.purge_everything else ""


def _purge_everything(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=_STAFF, everything=True):
        raise NotPossible(_why_no_full_purge(shoot))
    return "Photos and headshots are being destroyed."


# Accounts ---------------------------------------------------------------------------------------------------------


def _why_no_block(account: User) -> str:
    if account.is_superuser:
        return "A superuser is not blocked here."
    return "" if account.is_active else "This account is blocked already."


def _block(account: User, answers: Answers) -> str:
    User.objects.filter(pk=account.pk).update(is_active=False)
    Session.objects.filter(account_id=account.pk).delete()
    return "The account is blocked and signed out everywhere."


def _why_no_unblock(account: User) -> str:
    return "This account is not blocked." if account.is_active else ""


def _unblock(account: User, answers: Answers) -> str:
    User.objects.filter(pk=account.pk).update(is_active=True)
    return "The account may sign in again."


def _why_no_factor_reset(account: User) -> str:
    has_one = Authenticator.objects.filter(user=account).exists()
    return "" if has_one else "This account has no second factor."


def _reset_second_factor(account: User, answers: Answers) -> str:
    Authenticator.objects.filter(user=account).delete()
    Session.objects.filter(account_id=account.pk).delete()
    return "The second factor is gone; the next sign-in asks for the password alone."


def _why_no_confirmation(account: User) -> str:
    if EmailAddress.objects.filter(user=account, verified=True).exists():
        return "The address of this account is confirmed already."
    return "" if account.is_active else "This account is blocked."


def _resend_confirmation(account: User, answers: Answers) -> str:
    request = context.request
    address = EmailAddress.objects.add_email(request, account, account.email)
    # After the commit: a mail server may take its time.
    transaction.on_commit(lambda: address.send_confirmation(request), robust=True)
    return "The mail that asks to confirm the address is on its way."


# The product ------------------------------------------------------------------------------------------------------


def _why_no_pause(what: Pause.What) -> str:
    return "That is paused already." if pausing.is_paused(what) else ""


def _pause(what: Pause.What, answers: Answers) -> str:
    pausing.pause(what)
    return f"{what.label} is paused. Pages say so."


def _why_no_resume(what: Pause.What) -> str:
    return "" if pausing.is_paused(what) else "That is not paused."


def _resume(what: Pause.What, answers: Answers) -> str:
    pausing.resume(what)
    return f"{what.label} goes on."


def _words(code: str) -> str:
    return code.replace("_", " ")


ACTIONS = {
    action.code: action
    for action in (
        Action(
            code="retry-pack",
            title="Try again",
            question="Queue this pack again? What is done stays; what was given up is shot anew.",
            subject="pack",
            permission="dashboard.run_packs",
            load=_pack,
            state_of=lambda pack: pack.state,
            why_not=_why_no_retry,
            do=_retry,
            shoot_of=lambda pack: pack.shoot_id,
        ),
        Action(
            code="cancel-pack",
            title="Cancel",
            question="Cancel this pack? What is not finished will not be made.",
            subject="pack",
            permission="dashboard.run_packs",
            load=_pack,
            state_of=lambda pack: pack.state,
            why_not=_why_no_cancel,
            do=_cancel,
            danger=True,
            shoot_of=lambda pack: pack.shoot_id,
        ),
        Action(
            code="purge-photos",
            title="Destroy the photos now",
            question="Destroy the photos of this shoot and all that was measured in them? Live packs end.",
            subject="shoot",
            permission="dashboard.purge_now",
            load=_shoot,
            state_of=lambda shoot: f"{shoot.state} {shoot.purge_everything}",
            why_not=_why_no_purge,
            do=_purge,
            danger=True,
            shoot_of=lambda shoot: shoot.pk,
        ),
        Action(
            code="purge-everything",
            title="Destroy photos and headshots now",
            question="Destroy the photos and every finished headshot of this shoot? There is no way back.",
            subject="shoot",
            permission="dashboard.purge_now",
            load=_shoot,
            state_of=lambda shoot: f"{shoot.state} {shoot.purge_everything}",
            why_not=_why_no_full_purge,
            do=_purge_everything,
            danger=True,
            shoot_of=lambda shoot: shoot.pk,
        ),
        Action(
            code="block-account",
            title="Block",
            question="Block this account? It is signed out everywhere and cannot sign in again.",
            subject="account",
            permission="dashboard.block_account",
            load=_account,
            state_of=lambda account: str(account.is_active),
            why_not=_why_no_block,
            do=_block,
            danger=True,
        ),
        Action(
            code="unblock-account",
            title="Let it in again",
            question="Let this account sign in again?",
            subject="account",
            permission="dashboard.block_account",
            load=_account,
            state_of=lambda account: str(account.is_active),
            why_not=_why_no_unblock,
            do=_unblock,
        ),
        Action(
            code="resend-confirmation",
            title="Send the confirmation mail again",
            question="Send the mail that asks to confirm the address of this account again?",
            subject="account",
            permission="dashboard.resend_mail",
            load=_account,
            state_of=lambda account: "",
            why_not=_why_no_confirmation,
            do=_resend_confirmation,
        ),
        Action(
            code="reset-second-factor",
            title="Remove the second factor",
            question="Remove the second factor of this account, because it was lost? Be sure who asks.",
            subject="account",
            permission="accounts.change_user",
            load=_account,
            state_of=lambda account: "",
            why_not=_why_no_factor_reset,
            do=_reset_second_factor,
            danger=True,
        ),
        Action(
            code="pause",
            title="Pause",
            question="Pause this part of the product? Pages say so kindly; what waits keeps its place.",
            subject="part",
            permission="dashboard.pause",
            load=_part,
            state_of=lambda what: str(pausing.is_paused(what)),
            why_not=_why_no_pause,
            do=_pause,
            danger=True,
        ),
        Action(
            code="resume",
            title="Go on",
            question="Let this part of the product go on?",
            subject="part",
            permission="dashboard.pause",
            load=_part,
            state_of=lambda what: str(pausing.is_paused(what)),
            why_not=_why_no_resume,
            do=_resume,
        ),
    )
}

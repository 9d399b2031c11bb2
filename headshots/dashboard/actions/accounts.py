"""Staff actions on accounts: block, unblock, remove a lost second factor, confirm an address."""

from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.models import Authenticator
from django.db import transaction

from headshots.accounts.models import Session, User
from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_account


def _block_blocked_reason(account: User) -> str:
    if account.is_staff or account.is_superuser:
        return "Staff is not blocked here: an owner takes their roles away first."
    return "" if account.is_active else "This account is blocked already."


def _block(account: User, answers: Answers) -> str:
    if not User.objects.filter(pk=account.pk, is_active=True, is_staff=False).update(is_active=False):
        raise StaleTargetError
    Session.objects.filter(account_id=account.pk).delete()
    return "The account is blocked and signed out everywhere."


def _unblock_blocked_reason(account: User) -> str:
    return "This account is not blocked." if account.is_active else ""


def _unblock(account: User, answers: Answers) -> str:
    if not User.objects.filter(pk=account.pk, is_active=False).update(is_active=True):
        raise StaleTargetError
    return "The account may sign in again."


def _factor_reset_blocked_reason(account: User) -> str:
    has_one = Authenticator.objects.filter(user=account).exists()
    return "" if has_one else "This account has no second factor."


def _reset_second_factor(account: User, answers: Answers) -> str:
    gone, _ = Authenticator.objects.filter(user=account).delete()
    if not gone:
        raise StaleTargetError
    Session.objects.filter(account_id=account.pk).delete()
    return "The second factor is gone; the next sign-in asks for the password alone."


def _confirmation_blocked_reason(account: User) -> str:
    if EmailAddress.objects.filter(user=account, verified=True).exists():
        return "The address of this account is confirmed already."
    return "" if account.is_active else "This account is blocked."


def _resend_confirmation(account: User, answers: Answers) -> str:
    request = context.request
    address = EmailAddress.objects.add_email(request, account, account.email)
    # Send after the commit, because the mail server can be slow.
    transaction.on_commit(lambda: address.send_confirmation(request), robust=True)
    return "The mail that asks to confirm the address is on its way."


ACTIONS = (
    Action(
        code="block-account",
        title="Block",
        question="Block this account?",
        effects=(
            "It is signed out everywhere at once and cannot sign in.",
            "Mails about packs and credits no longer go to it; deletion certificates still do.",
            "Its photos and headshots stay as long as they would have, and its orders are made to their end.",
        ),
        undo_note="It can be let in again at any time.",
        target_type="account",
        permission="dashboard.block_account",
        load=load_account,
        state_of=lambda account: str(account.is_active),
        blocked_reason=_block_blocked_reason,
        do=_block,
        danger=True,
        can_be_undone=True,
    ),
    Action(
        code="unblock-account",
        title="Let it in again",
        question="Let this account in again?",
        effects=(
            "It may sign in, and finds what is still there of its shoots.",
            "It gets mails about packs and credits again.",
        ),
        undo_note="It can be blocked again at any time.",
        target_type="account",
        permission="dashboard.block_account",
        load=load_account,
        state_of=lambda account: str(account.is_active),
        blocked_reason=_unblock_blocked_reason,
        do=_unblock,
    ),
    Action(
        code="resend-confirmation",
        title="Send the confirmation mail again",
        question="Send the mail that asks to confirm the address again?",
        effects=("A mail with a new link goes to the address of this account.",),
        undo_note="A mail that was sent cannot be taken back.",
        target_type="account",
        permission="dashboard.resend_mail",
        load=load_account,
        state_of=lambda account: "",
        blocked_reason=_confirmation_blocked_reason,
        do=_resend_confirmation,
    ),
    Action(
        code="reset-second-factor",
        title="Remove the second factor",
        question="Remove the second factor of this account, because it was lost? Be sure who asks.",
        effects=(
            "The password alone opens the account until its owner sets a new one up.",
            "It is signed out everywhere, and its recovery codes are void.",
        ),
        undo_note="The old second factor cannot be brought back.",
        target_type="account",
        permission="accounts.change_user",
        load=load_account,
        state_of=lambda account: "",
        blocked_reason=_factor_reset_blocked_reason,
        do=_reset_second_factor,
        danger=True,
    ),
)

"""Staff actions on accounts: block, unblock, confirm as adult, reset two-factor authentication, resend an email."""

from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.models import Authenticator
from django.db import transaction

from headshots.accounts.models import Session, User
from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_account


def _block_blocked_reason(account: User) -> str:
    if account.is_staff or account.is_superuser:
        return "You can't block a staff account. An owner must remove its staff status first."
    return "" if account.is_active else "This account is already blocked."


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
    return "The account can sign in again."


def _adult_blocked_reason(account: User) -> str:
    return "This person is already confirmed as an adult." if account.is_confirmed_adult else ""


def _confirm_adult(account: User, answers: Answers) -> str:
    if not User.objects.filter(pk=account.pk, is_confirmed_adult=False).update(is_confirmed_adult=True):
        raise StaleTargetError
    return "Photos of this account are no longer refused because of the age."


def _factor_reset_blocked_reason(account: User) -> str:
    has_one = Authenticator.objects.filter(user=account).exists()
    return "" if has_one else "This account doesn't use two-factor authentication."


def _reset_second_factor(account: User, answers: Answers) -> str:
    gone, _ = Authenticator.objects.filter(user=account).delete()
    if not gone:
        raise StaleTargetError
    Session.objects.filter(account_id=account.pk).delete()
    return "Two-factor authentication is reset. The next sign-in asks only for the password."


def _confirmation_blocked_reason(account: User) -> str:
    if EmailAddress.objects.filter(user=account, verified=True).exists():
        return "The email of this account is already confirmed."
    return "" if account.is_active else "This account is blocked."


def _resend_confirmation(account: User, answers: Answers) -> str:
    request = context.request
    address = EmailAddress.objects.add_email(request, account, account.email)
    # Send after the commit, because the mail server can be slow.
    transaction.on_commit(lambda: address.send_confirmation(request), robust=True)
    return "The confirmation email is being sent."


ACTIONS = (
    Action(
        code="block-account",
        title="Block",
        question="Block this account?",
        effects=(
            "The account is signed out everywhere and can't sign in.",
            "It receives no more emails about packs and credits, but still receives deletion certificates.",
            "Its photos and headshots are deleted on schedule, and its current orders are completed.",
        ),
        undo_note="You can unblock the account at any time.",
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
        title="Unblock",
        question="Unblock this account?",
        effects=(
            "The account can sign in and access its remaining shoots.",
            "It receives emails about packs and credits again.",
        ),
        undo_note="You can block the account again at any time.",
        target_type="account",
        permission="dashboard.block_account",
        load=load_account,
        state_of=lambda account: str(account.is_active),
        blocked_reason=_unblock_blocked_reason,
        do=_unblock,
    ),
    Action(
        code="confirm-adult",
        title="Confirm as adult",
        question="Confirm that this customer is 18 or older? Make sure first, for example in a conversation.",
        effects=("Photos that this account uploads from now on aren't refused as photos of a child.",),
        undo_note="This can't be undone here. Block the account if it was a mistake.",
        target_type="account",
        permission="dashboard.block_account",
        load=load_account,
        state_of=lambda account: str(account.is_confirmed_adult),
        blocked_reason=_adult_blocked_reason,
        do=_confirm_adult,
    ),
    Action(
        code="resend-confirmation",
        title="Resend confirmation email",
        question="Send the confirmation email again?",
        effects=("The account receives an email with a new confirmation link.",),
        undo_note="A sent email can't be recalled.",
        target_type="account",
        permission="dashboard.resend_mail",
        load=load_account,
        state_of=lambda account: "",
        blocked_reason=_confirmation_blocked_reason,
        do=_resend_confirmation,
    ),
    Action(
        code="reset-second-factor",
        title="Reset two-factor authentication",
        question="Reset two-factor authentication for this account? Verify the requester's identity first.",
        effects=(
            "The password alone gives access until the owner sets up two-factor authentication again.",
            "The account is signed out everywhere, and its recovery codes stop working.",
        ),
        undo_note="This can't be undone. The owner has to set up two-factor authentication again.",
        target_type="account",
        permission="accounts.change_user",
        load=load_account,
        state_of=lambda account: "",
        blocked_reason=_factor_reset_blocked_reason,
        do=_reset_second_factor,
        danger=True,
    ),
)

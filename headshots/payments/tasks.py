"""Celery tasks of payments. Each loads by id, calls one service, and can run twice."""

import logging
from datetime import datetime
from uuid import UUID

from celery import shared_task

from headshots.payments import mails, reconciliation
from headshots.payments.accounting import credits as credit_services
from headshots.payments.accounting import incomplete, refunds
from headshots.payments.errors import StripeError
from headshots.payments.models import Credit, Payment, Refund, Withdrawal
from headshots.payments.withdrawal.links import confirmation_url
from headshots.shoots.models import Pack

log = logging.getLogger(__name__)


@shared_task(name="payments.return_credit")
def return_credit(pack_id: str) -> None:
    credit_services.return_credit(pack=Pack.objects.get(pk=UUID(pack_id)))


@shared_task(name="payments.refund_missing")
def refund_missing(pack_id: str) -> None:
    incomplete.refund_missing(pack=Pack.objects.get(pk=UUID(pack_id)))


@shared_task(name="payments.mail_question")
def mail_question(pack_id: str) -> None:
    try:
        mails.send_question_mail(pack=Pack.objects.select_related("shoot__owner").get(pk=UUID(pack_id)))
    except OSError as error:
        log.error("pack %s: email not sent: %s", pack_id, type(error).__name__)


@shared_task(name="payments.send_refund")
def send_refund(refund_id: str) -> None:
    refunds.send_refund(refund=Refund.objects.select_related("payment__pack").get(pk=UUID(refund_id)))


@shared_task(name="payments.fetch_refunds")
def fetch_refunds(payment_id: str) -> None:
    try:
        reconciliation.fetch_refunds(payment=Payment.objects.get(pk=UUID(payment_id)))
    except StripeError as error:
        # Webhooks bring the refunds as well, and beat fetches missed events.
        log.warning("payment %s: refunds not fetched: %s", payment_id, type(error).__name__)


@shared_task(name="payments.send_mail")
def send_mail(credit_id: str) -> None:
    try:
        mails.send_credit_mail(credit=Credit.objects.select_related("owner", "payment").get(pk=UUID(credit_id)))
    except OSError as error:
        log.error("credit %s: email not sent: %s", credit_id, type(error).__name__)


@shared_task(name="payments.mail_refund")
def mail_refund(refund_id: str) -> None:
    try:
        refund = Refund.objects.select_related("payment__owner", "payment__pack").get(pk=UUID(refund_id))
        mails.send_refund_mail(refund=refund)
    except OSError as error:
        log.error("refund %s: email not sent: %s", refund_id, type(error).__name__)


@shared_task(name="payments.mail_withdrawal")
def mail_withdrawal(withdrawal_id: str) -> None:
    try:
        withdrawals = Withdrawal.objects.select_related("payment__owner", "payment__pack")
        mails.send_withdrawal_mail(withdrawal=withdrawals.get(pk=int(withdrawal_id)))
    except OSError as error:
        log.error("withdrawal %s: email not sent: %s", withdrawal_id, type(error).__name__)


@shared_task(name="payments.mail_withdrawal_link")
def mail_withdrawal_link(payment_id: str, at: str) -> None:
    """Send the link that confirms a withdrawal of the time `at` (ISO 8601)."""
    payment = Payment.objects.select_related("owner").get(pk=UUID(payment_id))
    url = confirmation_url(payment=payment, at=datetime.fromisoformat(at))
    try:
        mails.send_withdrawal_link(payment=payment, url=url)
    except OSError as error:
        log.error("payment %s: email not sent: %s", payment_id, type(error).__name__)


@shared_task(name="payments.reconcile")
def reconcile() -> None:
    reconciliation.reconcile()


@shared_task(name="payments.replay_events")
def replay_events() -> None:
    reconciliation.replay_events()

"""Staff actions on abuse reports: close."""

from django import forms

from headshots.dashboard.actions.audit_actions import Action, Answers, ReasonForm, StaleTargetError
from headshots.dashboard.actions.targets import load_report
from headshots.dashboard.models import AbuseReport
from headshots.dashboard.reports.cases import close_report


class CloseForm(ReasonForm):
    """The form that closes a report: what was done, and the reason."""

    outcome = forms.ChoiceField(choices=AbuseReport.Outcome.choices)


def _blocked_reason(report: AbuseReport) -> str:
    return "This report is already closed." if report.closed_at else ""


def _close(report: AbuseReport, answers: Answers) -> str:
    if not close_report(report=report, outcome=answers["outcome"]):
        raise StaleTargetError
    return f"Report {report.number} is closed."


ACTIONS = (
    Action(
        code="close-report",
        title="Close",
        question="Close this report?",
        effects=("The report counts as answered. Reply to the person first: closing sends no email.",),
        undo_note="A closed report can't be opened again. If the person writes again, they can report again.",
        target_type="report",
        permission="dashboard.close_report",
        load=load_report,
        state_of=lambda report: str(report.closed_at or ""),
        blocked_reason=_blocked_reason,
        do=_close,
        form=CloseForm,
    ),
)

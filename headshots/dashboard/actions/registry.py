"""The registry of all staff actions, by code."""

from headshots.dashboard.actions import accounts, looks, mails, money, packs, product, reports, shoots

ACTIONS = {
    action.code: action
    for action in (
        *packs.ACTIONS,
        *shoots.ACTIONS,
        *accounts.ACTIONS,
        *money.ACTIONS,
        *mails.ACTIONS,
        *looks.ACTIONS,
        *product.ACTIONS,
        *reports.ACTIONS,
    )
}


def action_title(code: str) -> str:
    """Return the title of an action. Edits and actions that no longer exist are named by their code."""
    action = ACTIONS.get(code)
    return action.title if action else code.replace("-", " ").capitalize()

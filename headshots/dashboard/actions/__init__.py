"""Everything that staff can do to a pack, a shoot, an account, a payment or the product: one entry each."""

from headshots.dashboard.actions import accounts, looks, mails, money, packs, product, shoots

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
    )
}

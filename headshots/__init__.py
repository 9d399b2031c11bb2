"""The product: accounts, uploads, packs, payments, delivery and deletion."""

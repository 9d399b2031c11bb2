"""The product: who, what, delivered, forgotten."""

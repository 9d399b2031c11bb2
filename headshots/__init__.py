"""The Headshots Django project: accounts, uploads, packs, payments, delivery and data retention."""

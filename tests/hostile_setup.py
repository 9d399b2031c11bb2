"""Run with an own database: two accounts, each signed in, and a shoot of the first whose pack is running."""

import json
from datetime import timedelta

import django


def build() -> dict[str, str]:
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    from headshots.accounts.models import User
    from headshots.shoots.models import Pack, Shoot
    from headshots.shoots.styles import seed_styles

    call_command("migrate", verbosity=0)
    seed_styles()
    cookies = []
    for name in ("owner", "other"):
        browser = Client()
        browser.force_login(User.objects.create_user(f"{name}@example.org", None))
        cookies.append(f"sessionid={browser.cookies['sessionid'].value}")
    owner = User.objects.get(email="owner@example.org")
    shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + timedelta(hours=23))
    Pack.objects.create(
        shoot=shoot, kind="preview", state="rendering", engine="fake", total=4, seed=1, width=9, height=9
    )
    return {"cookie": cookies[0], "other": cookies[1], "shoot": f"/shoots/{shoot.pk}/"}


if __name__ == "__main__":
    django.setup()
    print(json.dumps(build()))

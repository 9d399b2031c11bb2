"""Run with an own database: two accounts, each signed in, and a shoot of the first whose pack is running.

With `deliver` as its argument it delivers that pack, with four pictures."""

import io
import json
import sys
from datetime import timedelta

import django


def build() -> dict[str, str]:
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    from headshots.accounts.models import User
    from headshots.shoots.looks.versions import seed_styles
    from headshots.shoots.models import Pack, Shoot

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


def deliver() -> dict[str, str]:
    from PIL import Image

    from headshots.shoots.lifecycle import advance
    from headshots.shoots.live import nudge
    from headshots.shoots.models import Headshot, Pack, Style
    from headshots.vault import services as vault

    pack = Pack.objects.get()
    picture = io.BytesIO()
    Image.new("RGB", (600, 750), "gray").save(picture, "JPEG")
    vault.create_key(ring="result", key_id=pack.pk)
    for index in range(4):
        blob = vault.write_blob(ring="result", key_id=pack.pk, kind="blob", data=picture.getvalue())
        style = Style.objects.all()[index]
        Headshot.objects.create(pack=pack, index=index, style=style, seed=index, state="done", blob=blob)
    assert advance(pack, Pack.State.DELIVERED)
    nudge(pack.shoot_id)
    return {}


if __name__ == "__main__":
    django.setup()
    print(json.dumps(deliver() if "deliver" in sys.argv else build()))

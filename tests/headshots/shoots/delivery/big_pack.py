"""Run with an own data folder: a delivered premium pack of so many headshots of so many bytes, and who may see it."""

import json
import os
import sys
from datetime import timedelta

import django


def build(count: int, size: int) -> dict[str, str]:
    """The address of the pack's ZIP and the cookie of its owner."""
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    from headshots.accounts.models import User
    from headshots.shoots.looks.versions import seed_styles
    from headshots.shoots.models import Headshot, Pack, Shoot, Style
    from headshots.vault import services as vault

    call_command("migrate", verbosity=0)
    seed_styles()
    owner = User.objects.create_user("owner@example.org", None)
    shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + timedelta(hours=23))
    pack = Pack.objects.create(
        shoot=shoot, kind="premium", state="delivered", engine="fake", total=count, seed=1, width=3072, height=3840
    )
    vault.create_key(ring="result", key_id=pack.pk)
    for index in range(count):
        blobs = {
            field: vault.write_blob(ring="result", key_id=pack.pk, kind=field, data=os.urandom(share))
            for field, share in (("blob", size), ("web_blob", size // 10), ("profile_blob", size // 30))
        }
        style = Style.objects.all()[index % 5]
        Headshot.objects.create(pack=pack, index=index, style=style, seed=index, state="done", **blobs)
    browser = Client()
    browser.force_login(owner)
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    return {"path": f"/shoots/{shoot.pk}/packs/{pack.pk}/download.zip", "cookie": cookie}


if __name__ == "__main__":
    django.setup()
    print(json.dumps(build(int(sys.argv[1]), int(sys.argv[2]))))

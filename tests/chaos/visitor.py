"""A person without a browser: signs up, uploads, waits for headshots, and meets every kind of error page."""

import re
import time
from typing import Any

import pytest
import requests

PASSWORD = "a long enough pass phrase"


class Visitor:
    """`answers` are the error pages that were met."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.answers: list[requests.Response] = []

    def get(self, path: str) -> requests.Response:
        return self._kept(self.session.get(f"{self.url}{path}", timeout=60))

    def post(self, path: str, data: dict[str, str], form: str = "", **more: Any) -> requests.Response:
        """A form as its page has it: with the token of the page `form`, by default of the path itself."""
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', self.get(form or path).text))
        response = self.session.post(f"{self.url}{path}", hidden | data, timeout=60, **more)
        return self._kept(response)

    def sign_up(self, email: str) -> None:
        response = self.post("/accounts/signup/", {"email": email, "password1": PASSWORD})
        assert response.url.endswith("/shoots/new/"), response.url

    def upload(self, name: str, data: bytes) -> str:
        """The path of the new shoot."""
        response = self.send_photo(name, data)
        assert response.status_code == 200, response.text
        return response.url.removeprefix(self.url)

    def send_photo(self, name: str, data: bytes) -> requests.Response:
        agreed = {"consent": "on", "is_me": "on"}
        return self.post("/shoots/new/", agreed, files={"photos": (name, data, "image/png")})

    def wait_for(self, shoot: str, status: str, seconds: float = 90) -> None:
        """Until the first pack is `delivered`, or the shoot is `purged`."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            progress = self.get(f"{shoot}status.json").json()
            if status in {progress["status"], *(pack["status"] for pack in progress["packs"][:1])}:
                return
            time.sleep(0.25)
        pytest.fail(f"waited {seconds} s for {status}")

    def headshots(self, shoot: str) -> list[bytes]:
        """The files of all headshots on the page, in every version."""
        links = re.findall(rf'href="({shoot}headshots/[^"?]+)', self.get(shoot).text)
        return [self.get(link).content for link in dict.fromkeys(links)]

    def meet_errors(self, shoot: str, name: str, photo: bytes) -> None:
        """Pages that are not there, forms that are wrong, bodies that are too large, a host that is not ours."""
        self.get("/nothing/here/")
        self.get(f"{shoot[:-2]}0/")
        self.send_photo(name, photo[:200] + bytes(2000))
        self.session.post(f"{self.url}{shoot}delete/", timeout=60)
        self._kept(self.session.post(f"{self.url}/accounts/login/", {"login": "x"}, timeout=60))
        self._kept(self.session.post(f"{self.url}/accounts/login/", photo * 8, timeout=60))
        self._kept(self.session.get(f"{self.url}/", headers={"Host": "elsewhere.example"}, timeout=60))

    def _kept(self, response: requests.Response) -> requests.Response:
        if response.status_code >= 400:
            self.answers.append(response)
        return response

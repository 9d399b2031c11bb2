"""Show that no text of a stranger makes a regular expression slow: ten times the text costs about ten times as much."""

import ast
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.forms import EmailField
from django.http import parse_cookie
from django.urls import Resolver404, resolve
from django.utils.http import parse_header_parameters

from headshots.accounts import admin_mixins
from headshots.dashboard.stats import visits
from headshots.launch import supervise as supervision
from headshots.payments.stripe import local
from headshots.runtime import log_format
from headshots.web import middleware
from pipeline.files import xmp
from pipeline.photos.decoder import damage, hevc, images
from pipeline.styles import rules

ROOT = Path(__file__).resolve().parents[2]
SMALL, LARGE = 10_000, 100_000
# Ten for a cost that grows with the text and a hundred for one that grows with its square.
MAX_GROWTH = 30
# So little is never a problem, and too little to be measured.
QUICK_SECONDS = 0.02
# What these read comes from us, our operator or our own decoder, or is a fixed word.
NOT_FOREIGN = {
    "headshots/launch/environment.py": "the lock file of this repository",
    "headshots/launch/services.py": "the path of the data folder",
    "headshots/settings.py": "the operator's settings",
    "headshots/shoots/consent.py": "our own consent texts",
    "pipeline/commands/proof_report.py": "messages of our own errors",
    "pipeline/photos/intake.py": "the first line of our decoder's answer",
}
ADDRESS, PICTURE, KEY = (pattern for pattern, _ in log_format._MASKED)


def structure_read(text: str) -> None:
    with suppress(damage.Damaged, damage.TooManyScans):
        damage.read_jpeg(b"\xff\xd8" + text.encode("latin-1"))


def resolved(path: str) -> None:
    with suppress(Resolver404):
        resolve(path)


def email_checked(text: str) -> None:
    with suppress(ValidationError):
        EmailField().clean(text)


LOG_FORMAT = "headshots/runtime/log_format.py"
DECODER = "pipeline/photos/decoder/"
# The module that holds the expression, what it does with foreign text, and texts that are the worst for it.
WORST: list[tuple[str, Callable[[str], object], list[str]]] = [
    (LOG_FORMAT, lambda text: ADDRESS.sub("", text), ["a", "a@", "a@b.", "@", "=a@b", "a.b@c.1"]),
    (LOG_FORMAT, lambda text: PICTURE.sub("", text), ["a", ".", "a.jp", ".jpg", "a.jpgx", "(a."]),
    (LOG_FORMAT, lambda text: KEY.sub("", text), ["/accounts/confirm-email/", "/accounts/", "/"]),
    (LOG_FORMAT, log_format.mask, ["a", "a@b.", "a.jpg", " a@b.cd", "\n"]),
    ("headshots/web/middleware.py", middleware._ID.fullmatch, ["a", "a!"]),
    ("headshots/accounts/admin_mixins.py", admin_mixins.parse_account_number, ["1", " ", "account ", "1 "]),
    ("headshots/dashboard/stats/visits.py", visits._ROBOT.search, ["b", "bo", "headles", "crawspide"]),
    ("headshots/payments/stripe/local.py", local._SESSION.fullmatch, ["/v1/checkout/sessions/cs_test_", "a"]),
    ("headshots/launch/supervise.py", lambda text: supervision._LOG_LINE.match(text.encode()), ["2026-11-30 a", "2"]),
    ("pipeline/styles/rules.py", lambda text: rules._words_fault(text, is_prompt=True), ["{", "{a", "{}"]),
    (DECODER + "damage.py", structure_read, ["\xff", "\xff\0", "\xff\xd0", "\xff\xe1\0\2", "\xff\xda\0\2a"]),
    (DECODER + "damage.py", lambda text: damage.EXTRA_BYTES.fullmatch(text.encode("latin-1")), ["1", " "]),
    (DECODER + "hevc.py", lambda text: hevc.FORBIDDEN.search(text.encode("latin-1")), ["\0\3", "\0", "a"]),
    (DECODER + "images.py", lambda text: images.may_be_hdr(text.encode("latin-1")), ["colrnclx", "cICP", "c"]),
    ("pipeline/files/xmp.py", xmp._check_source_type, ["a", f"{xmp.SOURCE_TYPES}a", " "]),
    # Expressions of the libraries, through what we call of them.
    ("django", resolved, ["a", "a/", "/accounts/password/reset/key/", "a-", "shoots/", "1"]),
    ("django", email_checked, ["a", "a@", "a.", "@a.", '"']),
    ("django", parse_cookie, ["a", "a=", ";", '="', "\\"]),
    ("django", parse_header_parameters, ["a", ";", '"', "a=", '; a="', "\\"]),
]  # fmt: skip
CASES = [(act, repeated) for _, act, texts in WORST for repeated in texts]
NAMES = [f"{where}-{text!r}" for where, _, texts in WORST for text in texts]


def seconds(act: Callable[[str], object], text: str) -> float:
    """Return the processor time of one call."""
    before = time.process_time()
    act(text)
    return time.process_time() - before


@pytest.mark.parametrize(("act", "repeated"), CASES, ids=NAMES)
@pytest.mark.parametrize("end", ["", "!\n"], ids=["", "with another end"])
def test_ten_times_the_text_costs_about_ten_times_as_much(
    act: Callable[[str], object], repeated: str, end: str
) -> None:
    small, large = (repeated * (size // len(repeated)) + end for size in (SMALL, LARGE))

    def is_fast_enough() -> bool:
        took = seconds(act, large)
        return took < QUICK_SECONDS or took < MAX_GROWTH * min(seconds(act, small) for _ in range(3))

    # Another process may have taken the cache of the processor: only what is slow three times is slow.
    assert any(is_fast_enough() for _ in range(3))


def test_every_expression_of_ours_is_tried_or_reads_nothing_foreign() -> None:
    tried = {where for where, _, _ in WORST}
    files = [ROOT / "run.py", *(ROOT / "headshots").rglob("*.py"), *(ROOT / "pipeline").rglob("*.py")]
    with_expressions = {str(file.relative_to(ROOT)) for file in files if uses_expressions(file.read_text())}

    assert with_expressions - tried == set(NOT_FOREIGN)


def uses_expressions(source: str) -> bool:
    """Return True for a module that uses `re` for more than escaping and naming flags."""
    used = {
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
    }
    return bool(used - {"escape"})


# What is masked and what is cut ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "x" * 50, "x" * 1999, "x " * 999, "a@b " * 490, "=", "(", "<", '"'])
@pytest.mark.parametrize("secret", ["ada@example.org", "ada.lovelace@mail.example.org", "ada-lovelace.jpg", "ada.HIF"])
def test_a_line_of_any_length_keeps_no_address_and_no_name_of_a_picture(before: str, secret: str) -> None:
    masked = log_format.mask(f"{before} {secret} and more {before}")

    assert "ada" not in masked
    assert len(masked) <= log_format.MAX_TEXT_LENGTH + len(" [cut]")


def test_an_address_that_is_cut_in_two_is_left_out() -> None:
    for length in range(log_format.MAX_TEXT_LENGTH - 40, log_format.MAX_TEXT_LENGTH + 5):
        masked = log_format.mask("x " * (length // 2) + "ada.lovelace@mail.example.org" + " x" * 100)

        assert "ada" not in masked
        assert "lovelace" not in masked


def test_a_short_line_is_kept_whole() -> None:
    assert log_format.mask("shoot 17: purged") == "shoot 17: purged"


def test_masks_look_only_at_the_start_of_a_word_and_still_find_each_one() -> None:
    text = "to=ada@example.org,<bob@example.org>;(eve@example.org) photos/a.jpg b.png"

    assert not re.search("ada|bob|eve|jpg|png", log_format.mask(text))

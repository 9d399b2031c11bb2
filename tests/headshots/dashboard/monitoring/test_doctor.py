"""What the operator is told about an installation."""

import json
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from headshots.dashboard.monitoring import doctor
from pipeline.commands.proof_report import ProofReport
from pipeline.errors import EngineUnavailable
from pipeline.types import PREMIUM
from tests.headshots.test_settings import signing_files


@pytest.fixture(autouse=True)
def no_failed_checks(settings: LazySettings) -> None:
    """Tests run with DEBUG off, where a test checkout and a missing address of the site are broken rules."""
    settings.HEADSHOTS_TEST_CHECKOUT = False
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"


def test_the_doctor_joins_engines_and_settings_and_holds_no_secret(
    settings: LazySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_abcdef"
    settings.HEADSHOTS_STRIPE_WEBHOOK_SECRET = "whsec_abcdef"

    call_command("doctor")

    said = capsys.readouterr().out
    assert "studio: ready (selected)" in said
    assert "Stripe test mode" in said
    assert "none (HEADSHOTS_LICENSE_STATEMENT is not set)" in said
    assert "test certificate, which proves nothing" in said
    assert str(settings.HEADSHOTS_PHOTO_KEYS_DIR) in said
    assert "sk_test_abcdef" not in said


def test_broken_rules_are_told_and_fail_the_command(settings: LazySettings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 0

    with pytest.raises(SystemExit):
        call_command("doctor", "--json")

    report = json.loads(capsys.readouterr().out)
    assert report["failed_checks"] == ["HEADSHOTS_PREVIEW_COUNT must be 1 or more."]
    assert report["chosen"] == "studio"


def test_the_license_statement_is_shown(settings: LazySettings) -> None:
    settings.HEADSHOTS_LICENSE_STATEMENT = "insightface, contract 7 of 2026"
    settings.HEADSHOTS_LIVE_PAYMENTS = True

    described = doctor.describe_settings()

    assert described["license statement"] == "insightface, contract 7 of 2026"
    assert described["payments"].startswith("live")


def test_an_engine_that_was_asked_for_and_cannot_run_fails_the_command(
    settings: LazySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.HEADSHOTS_ENGINE, settings.HEADSHOTS_INSTANTID_CHECKPOINT = "instantid", "mona_lisa"

    with pytest.raises(SystemExit) as ended:
        call_command("doctor")

    assert ended.value.code == 1
    assert "instantid: cannot run (selected)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("Filename Type Size Used Priority\n", "none"),
        ("Filename Type Size Used Priority\n/dev/zram0 partition 8 0 100\n", "in memory"),
        (
            "Filename Type Size Used Priority\n/dev/sda2 partition 8 0 -2\n",
            "/dev/sda2: keys and pictures can be written to it",
        ),
    ],
)
def test_swap_on_a_disk_is_told(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "swaps").write_text(table)

    assert doctor.describe_swap(tmp_path / "swaps").startswith(said)


def test_a_system_without_a_table_of_swaps_says_so(tmp_path: Path) -> None:
    assert doctor.describe_swap(tmp_path / "nothing").startswith("unknown on ")


def test_the_doctor_says_whose_certificate_signs_and_what_is_wrong_with_it(
    settings: LazySettings, tmp_path: Path
) -> None:
    own = signing_files(tmp_path)
    settings.HEADSHOTS_C2PA_KEY_FILE = Path(own["HEADSHOTS_C2PA_KEY_FILE"])
    settings.HEADSHOTS_C2PA_CERTIFICATE_FILE = Path(own["HEADSHOTS_C2PA_CERTIFICATE_FILE"])

    assert doctor.describe_settings()["file signing"].startswith("certificate of the operator, ")
    settings.HEADSHOTS_C2PA_KEY_FILE = None
    assert "or neither" in doctor.describe_settings()["file signing"]


def test_a_proof_is_made_with_the_settings_of_the_worker(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.HEADSHOTS_INSTANTID_STEPS, settings.HEADSHOTS_INSTANTID_OPTIMIZATIONS = 7, ["+fp8"]
    settings.HEADSHOTS_LIKENESS_MAX_DISTANCE = 0.4
    requests = []
    monkeypatch.setattr(
        "pipeline.commands.prove.prove", lambda request: requests.append(request) or ProofReport("studio", {}, [])
    )

    call_command("doctor", "--prove", "me.jpg", "them", "--out", str(tmp_path), "--size", "4k", "--json")

    (request,) = requests
    assert (request.people, request.folder) == ([Path("me.jpg"), Path("them")], tmp_path)
    assert (request.engine, request.size, request.max_distance) == ("studio", PREMIUM, 0.4)
    assert (request.options.steps, request.options.optimizations) == (7, ("+fp8",))
    assert not request.with_pictures
    assert json.loads(capsys.readouterr().out)["proof"]["passed"]


def test_a_proof_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_request: object) -> ProofReport:
        raise EngineUnavailable("no GPU")

    monkeypatch.setattr("pipeline.commands.prove.prove", fail)

    with pytest.raises(CommandError, match="no GPU"):
        call_command("doctor", "--prove", "me.jpg")

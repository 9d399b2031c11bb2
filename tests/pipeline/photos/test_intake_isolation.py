"""The process that decodes: what it may do, and what becomes of us when a photo takes it over."""

import fcntl
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import PhotoRefused, PipelineError, Reason
from pipeline.photos import intake
from pipeline.photos.decoder import __main__ as decoder
from pipeline.photos.decoder.damage import TooManyScans
from pipeline.photos.decoder.images import TooLarge, UnsupportedFormat
from pipeline.photos.intake import PhotoLimits, clean_photo
from tests.helpers.uploads import corners, refusal, save


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts another script into the decoder's place: what a decoder may do when a photo has taken it over."""

    def install(script: str) -> None:
        (tmp_path / "decoder.py").write_text(f"import os, signal, sys, time\n{script}\n")
        monkeypatch.setattr(intake, "DECODER", tmp_path / "decoder.py")

    return install


READY = "print('ready', flush=True); sys.stdin.buffer.read()"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"{READY}; os.kill(os.getpid(), signal.SIGSEGV)", Reason.UNREADABLE),
        (f"{READY}; os.abort()", Reason.UNREADABLE),
        (f"{READY}; os.kill(os.getpid(), signal.SIGKILL)", Reason.TOO_SLOW),
        (f"{READY}; os.kill(os.getpid(), signal.SIGXCPU)", Reason.TOO_SLOW),
        (f"{READY}; sys.exit(1)", Reason.UNREADABLE),
        (f"{READY}; print('refused because')", Reason.UNREADABLE),
        (f"{READY}; print('photo many few')", Reason.UNREADABLE),
        (f"{READY}; time.sleep(60)", Reason.TOO_SLOW),
        (f"{READY}; print('photo 9 9\\nhalf a JPEG', flush=True); time.sleep(60)", Reason.TOO_SLOW),
        (f"{READY}; print('photo 9 9\\nhalf a JPEG')", Reason.UNREADABLE),
        (f"{READY}; os.fork(); time.sleep(60)", Reason.TOO_SLOW),
        ("print('ready', flush=True); sys.stdin.close(); os.close(0)", Reason.UNREADABLE),
    ],
)
def test_a_decoder_that_crashes_hangs_or_lies_is_a_refusal(stand_in, script, reason):
    stand_in(script)
    # A process that hangs is ended after twice this time. The others end by themselves.
    seconds = 0.75 if "sleep" in script else 4

    assert refusal(bytes(5_000_000), PhotoLimits(seconds=seconds)) is reason


def test_a_decoder_that_floods_us_is_cut_off(stand_in, monkeypatch):
    monkeypatch.setattr(intake, "MAX_OUTPUT_BYTES", 1_000_000)
    stand_in(f"{READY}\nwhile True: sys.stdout.buffer.write(bytes(100_000))")

    assert refusal(b"photo") is Reason.TOO_LARGE


def test_a_decoder_that_cannot_start_is_our_fault_and_not_the_photos(stand_in):
    stand_in("import no_such_module")

    with pytest.raises(PipelineError, match="does not start") as error:
        clean_photo(b"photo")
    assert not isinstance(error.value, PhotoRefused)


def test_nothing_that_a_decoder_started_outlives_its_photo(stand_in, tmp_path):
    lock = tmp_path / "lock"
    lock.touch()
    hold = f"import fcntl; file = open({str(lock)!r}); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True)"
    stand_in(f"{READY}\n{hold}\nos.fork(); time.sleep(60)")

    refusal(b"photo", PhotoLimits(seconds=1))

    with lock.open() as file:
        # The kernel ends what was killed in its own time.
        deadline = time.monotonic() + 5
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def test_the_decoder_meets_the_photo_without_rights_or_environment(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_KEY", "secret")
    real = intake.DECODER
    stand_in(f"""
import importlib.util, resource, socket
sys.path[0] = {str(real.parents[2])!r}
spec = importlib.util.spec_from_file_location("real", {str(real / "__main__.py")!r})
real = importlib.util.module_from_spec(spec); spec.loader.exec_module(real)
def attempts(data, max_pixels, warnings):
    done = []
    for name, attempt in {{
        "read": lambda: open("/etc/hostname"),
        "read in the place of stdin": lambda: (os.close(0), open("/etc/hostname")),
        "write": lambda: open({str(tmp_path / "trace")!r}, "w"),
        "connect": lambda: socket.socket(),
        "grow": lambda: bytearray(600_000_000),
        "environment": lambda: os.environ["SECRET_KEY"],
        "core": lambda: None if resource.getrlimit(resource.RLIMIT_CORE)[1] > 1 else 1 / 0,
        "session": lambda: None if os.getsid(0) != os.getpid() else 1 / 0,
    }}.items():
        try: attempt(); done.append(name)
        except (OSError, MemoryError, KeyError, ZeroDivisionError): pass
    return ("photo 1 1\\n" + ",".join(done)).encode() + b"\\xff\\xd9"
real.answer = attempts
real.main(*map(int, sys.argv[1:]))
""")

    assert clean_photo(b"photo", PhotoLimits(memory_bytes=500_000_000)).data == b"\xff\xd9"


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_clean_photo_leaves_no_descriptor_behind():
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(3):
        clean_photo(save(corners(), "PNG"))

    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnsupportedFormat, Reason.UNSUPPORTED_FORMAT),
        (TooManyScans, Reason.TOO_SLOW),
        (TooLarge, Reason.TOO_LARGE),
        (Image.DecompressionBombError, Reason.TOO_LARGE),
        (MemoryError, Reason.TOO_LARGE),
        (SyntaxError, Reason.UNREADABLE),
    ],
)
def test_what_the_decoder_answers_is_a_reason_that_intake_knows(monkeypatch, error, reason):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(decoder, "read_image", fail)

    assert intake.REASONS[decoder.answer(b"", 1, lambda: b"")] is reason

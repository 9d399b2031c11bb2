"""Large weights come from the hub: resumed, verified, pinned, and only where there is room."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.torch_needed import require

require("huggingface_hub")

from pipeline.errors import WeightsError
from pipeline.weights import Weights, downloads
from pipeline.weights.catalog import Catalog, HubFile, Link, PinnedFile, Weight
from pipeline.weights.folder import LOCK_FILE, PARTIAL_PREFIX
from tests.helpers.fake_hub import COMMIT, serve_hub

LARGE = bytes(range(256)) * 4000
CONFIG = b'{"hidden": 64}'
NAMES = ["large", "configs"]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hub_file(path: str, file: str, content: bytes | None = None) -> PinnedFile:
    origin = HubFile("somebody/model", "main", path)
    return PinnedFile(origin, file, len(content) if content else None, sha256(content) if content else None)


def weight(name: str, *files: PinnedFile, folder: str = "", convert: str = "") -> Weight:
    return Weight(name, files, "OpenRAIL++-M", "a test", "nothing", folder=folder, convert=convert)


CATALOG = Catalog(
    {
        "large": weight("large", hub_file("net.safetensors", "net.safetensors", LARGE)),
        "unpinned": weight("unpinned", hub_file("net.safetensors", "unpinned.safetensors")),
        "configs": weight(
            "configs",
            hub_file("unet/config.json", "configs/unet/config.json"),
            hub_file("vae/config.json", "configs/vae/config.json"),
            folder="configs",
        ),
    },
    {"studio": (), "both": ("large", "configs")},
)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(downloads, "RETRY_ON_ERRORS", False)
    with serve_hub() as hub:
        hub.add("somebody/model/net.safetensors", LARGE)
        hub.add("somebody/model/unet/config.json", CONFIG, large=False)
        hub.add("somebody/model/vae/config.json", CONFIG + b" ", large=False)
        yield hub


@pytest.fixture
def weights(tmp_path) -> Weights:
    return Weights(tmp_path / "weights", CATALOG)


def fetch(weights: Weights, hub, *names: str) -> list[float]:
    shares: list[float] = []
    weights.fetch(names, shares.append, weights.plan(names, hub.url))
    return shares


def gets(hub) -> list[str]:
    return [line for line in hub.asked if line.startswith("GET")]


def test_files_and_folders_come_from_the_hub_and_a_group_is_then_installed(weights, hub):
    shares = fetch(weights, hub, "both")

    assert weights.path("large").read_bytes() == LARGE
    assert (weights.path("configs") / "unet" / "config.json").read_bytes() == CONFIG
    assert weights.is_installed("both")
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_plan_knows_sizes_and_downloads_nothing(weights, hub):
    plan = weights.plan(["both"], hub.url)

    assert plan.bytes == len(LARGE) + 2 * len(CONFIG) + 1
    assert plan.needs_consent
    assert gets(hub) == []
    assert not weights.directory.exists()


def test_what_is_here_is_neither_asked_for_nor_fetched_again(weights, hub):
    fetch(weights, hub, *NAMES)
    hub.asked.clear()

    fetch(weights, hub, *NAMES)

    assert hub.asked == []


def test_a_cut_off_transfer_goes_on_where_it_ended(weights, hub):
    hub.cut_after = 300_000

    fetch(weights, hub, "large")

    assert weights.path("large").read_bytes() == LARGE
    assert [line.partition("bytes=")[2] for line in gets(hub)] == ["", "300000-", "600000-", "900000-"]


def test_an_address_that_expired_meanwhile_is_asked_for_again(weights, hub):
    hub.tickets, hub.cut_after = True, 600_000

    fetch(weights, hub, "large")

    assert weights.path("large").read_bytes() == LARGE


def test_a_file_behind_a_redirect_goes_on_through_a_new_address(tmp_path, hub):
    hub.tickets, hub.cut_after = True, 600_000
    link = PinnedFile(Link(f"{hub.url}/releases/somebody/model/net.safetensors"), "net.bin", len(LARGE), sha256(LARGE))
    weights = Weights(tmp_path / "weights", Catalog({"link": weight("link", link)}, {}))

    weights.fetch(["link"], lambda share: None)

    assert weights.path("link").read_bytes() == LARGE
    assert [line.partition("bytes=")[2] for line in gets(hub)] == ["", "", "600000-", "600000-"]


def test_a_token_is_not_sent_to_the_storage_that_a_host_redirects_to(tmp_path, hub):
    url = f"{hub.url}/releases/somebody/model/net.safetensors"
    remote = downloads.Remote(url, len(LARGE), sha256(LARGE), headers={"authorization": "Bearer secret"})

    downloads.download(lambda: remote, "net", tmp_path, lambda count: None)

    assert hub.authorized == ["/releases/somebody/model/net.safetensors"]


def test_a_repository_that_was_renamed_is_found(weights, hub):
    for name in list(hub.files):
        hub.files[name.replace("somebody", "someone")] = hub.files.pop(name)
    hub.large, hub.moved = {"someone/model/net.safetensors"}, {"somebody/model": "someone/model"}

    fetch(weights, hub, "both")

    assert weights.path("large").read_bytes() == LARGE


def test_a_hub_with_too_many_callers_is_asked_again(weights, hub):
    hub.busy = 2

    fetch(weights, hub, "large")

    assert weights.path("large").read_bytes() == LARGE


def test_another_part_than_the_missing_one_is_not_appended(weights, hub):
    hub.cut_after, hub.skew = 600_000, 10

    with pytest.raises(WeightsError, match=r"the server sent another part of the file \(bytes 600010-"):
        fetch(weights, hub, "large")

    hub.skew = 0
    fetch(weights, hub, "large")
    assert weights.path("large").read_bytes() == LARGE


def test_an_address_that_is_refused_at_once_is_given_up(weights, hub):
    plan = weights.plan(["large"], hub.url)
    hub.lies["somebody/model/net.safetensors"] = None

    with pytest.raises(WeightsError, match="the server answered 404"):
        weights.fetch(["large"], lambda share: None, plan)


def test_a_later_fetch_goes_on_with_what_an_earlier_one_left(weights, hub):
    plan = weights.plan(["large"], hub.url)

    def pull_the_plug(share: float) -> None:
        if share > 0.4:
            raise KeyboardInterrupt

    hub.cut_after = 500_000
    with pytest.raises(KeyboardInterrupt):
        weights.fetch(["large"], pull_the_plug, plan)
    assert not weights.is_installed("both")
    hub.asked.clear()
    hub.cut_after = None

    fetch(weights, hub, "large")

    assert "bytes=" in gets(hub)[0]
    assert weights.path("large").read_bytes() == LARGE


def test_a_server_without_ranges_sends_the_whole_file_again(weights, hub):
    hub.ranges = False
    weights.directory.mkdir()
    plan = weights.plan(["large"], hub.url)
    with pytest.raises(KeyboardInterrupt):
        weights.fetch(["large"], interrupt, plan)

    fetch(weights, hub, "large")

    assert weights.path("large").read_bytes() == LARGE


def interrupt(share: float) -> None:
    raise KeyboardInterrupt


def test_a_line_that_brings_nothing_is_given_up_and_says_how_to_go_on(weights, hub):
    hub.cut_after = 0

    with pytest.raises(WeightsError, match=r"net\.safetensors could not be downloaded.*Run the command again"):
        fetch(weights, hub, "large")


def test_a_complete_file_of_unknown_size_is_not_asked_for_again(hub, tmp_path):
    url = f"{hub.url}/storage/somebody/model/net.safetensors"
    remote = downloads.Remote(url, size=None, sha256=sha256(LARGE))
    whole, _ = downloads.download(lambda: remote, "net", tmp_path, lambda count: None)

    again, _ = downloads.download(lambda: remote, "net", tmp_path, lambda count: None)

    assert again == whole
    assert again.read_bytes() == LARGE
    assert gets(hub)[-1].endswith(f"bytes={len(LARGE)}-")


def test_a_file_other_than_the_pinned_one_is_not_even_downloaded(weights, hub):
    hub.add("somebody/model/net.safetensors", LARGE[::-1])

    with pytest.raises(WeightsError, match=r"is not the pinned file.*Nothing was downloaded"):
        fetch(weights, hub, "large")

    assert gets(hub) == []


@pytest.mark.parametrize("name", ["net.safetensors", "unet/config.json"])
def test_content_that_is_not_what_was_announced_is_not_kept(weights, hub, name):
    announced = hub.files[f"somebody/model/{name}"]
    hub.lies[f"somebody/model/{name}"] = bytes(len(announced))

    with pytest.raises(WeightsError, match="It was not saved"):
        fetch(weights, hub, *NAMES)

    assert list(weights.directory.glob(f"{PARTIAL_PREFIX}*")) == []


def test_a_hash_that_nobody_gave_is_the_hubs_and_pinned_ever_after(weights, hub):
    fetch(weights, hub, "unpinned")
    lock = json.loads((weights.directory / LOCK_FILE).read_text())["files"]["unpinned.safetensors"]
    assert lock == {"bytes": len(LARGE), "sha256": sha256(LARGE), "revision": COMMIT, "converted_from": ""}

    weights.path("unpinned").write_bytes(LARGE[:-1] + b"?")
    assert "sha256 differs" in (Weights(weights.directory, CATALOG).problem("unpinned") or "")
    hub.add("somebody/model/net.safetensors", LARGE[::-1])
    hub.asked.clear()

    with pytest.raises(WeightsError, match="is not the pinned file"):
        fetch(weights, hub, "unpinned")
    assert hub.asked == [f"HEAD /somebody/model/resolve/{COMMIT}/net.safetensors"]


def test_a_file_that_was_put_there_by_hand_is_not_trusted_without_a_hash(weights):
    weights.directory.mkdir()
    (weights.directory / "unpinned.safetensors").write_bytes(LARGE)

    assert "has no known checksum" in (weights.problem("unpinned") or "")


def test_too_little_room_is_noticed_before_anything_comes(weights, hub, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(WeightsError, match=r"has 0\.0 GB free and needs 0\.1 GB.*free up space"):
        fetch(weights, hub, "large")

    assert gets(hub) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full (Linux)")
def test_a_disk_that_fills_up_meanwhile_is_a_clear_error(weights, hub):
    weights.directory.mkdir()
    digest = sha256(f"net.safetensors {sha256(LARGE)}".encode())[:16]
    (weights.directory / f"{PARTIAL_PREFIX}{digest}").symlink_to("/dev/full")

    with pytest.raises(WeightsError, match=r"cannot be written to .*No space left on device"):
        fetch(weights, hub, "large")


def test_what_the_hub_does_not_have_is_named(weights, hub):
    del hub.files["somebody/model/net.safetensors"]

    with pytest.raises(WeightsError, match=r"Could not get somebody/model/net\.safetensors at main"):
        fetch(weights, hub, "large")


def test_a_hub_that_is_not_there_is_a_clear_error(weights, monkeypatch):
    monkeypatch.setattr(downloads, "RETRY_ON_ERRORS", False)

    with pytest.raises(WeightsError, match="Could not get somebody/model"):
        weights.plan(["large"], "http://127.0.0.1:9")


def test_a_plain_address_is_fetched_and_verified_too(tmp_path, hub):
    link = PinnedFile(Link(f"{hub.url}/storage/somebody/model/net.safetensors"), "net.bin", len(LARGE), sha256(LARGE))
    weights = Weights(tmp_path / "weights", Catalog({"link": weight("link", link)}, {}))

    weights.fetch(["link"], lambda share: None)

    assert weights.path("link").read_bytes() == LARGE


def test_files_that_lie_elsewhere_are_taken_without_asking_anybody(weights, tmp_path):
    (tmp_path / "mine" / "model" / "unet").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "vae").mkdir()
    (tmp_path / "mine" / "net.safetensors").write_bytes(LARGE)
    (tmp_path / "mine" / "model" / "unet" / "config.json").write_bytes(CONFIG)
    (tmp_path / "mine" / "model" / "vae" / "config.json").write_bytes(CONFIG + b" ")

    weights.copy_files(["both"], tmp_path / "mine", lambda share: None)

    assert weights.path("large").read_bytes() == LARGE
    assert (weights.path("configs") / "vae" / "config.json").read_bytes() == CONFIG + b" "
    assert weights.is_installed("both")


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "There is no net.safetensors below"), (LARGE[::-1], "sha256 differs"), (b"", "0 bytes")],
)
def test_files_that_are_not_the_pinned_ones_are_not_taken(weights, tmp_path, content, fault):
    if content is not None:
        (tmp_path / "net.safetensors").write_bytes(content)

    with pytest.raises(WeightsError, match=fault):
        weights.copy_files(["large"], tmp_path, lambda share: None)

    assert not weights.is_there("large")

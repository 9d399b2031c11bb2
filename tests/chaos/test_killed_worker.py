"""kill -9 of the render worker in mid-pack: the pack still completes, each headshot once."""

import os
import signal
from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.product import Product


def test_a_killed_render_worker_costs_time_not_pictures(start_product: Callable[..., Product], page: Page) -> None:
    product = start_product(HEADSHOTS_LEASE_SECONDS="3", HEADSHOTS_PREVIEW_COUNT="8")
    sign_up(page, product)
    upload(page, photos.astronaut_path())
    wait_for(page, lambda: _done(product) >= 1, 60, "the first headshot")

    os.kill(product.worker_pid("render"), signal.SIGKILL)
    done_at_kill = _done(product)
    wait_for(page, lambda: shown_headshots(page) == 8, 90, "all headshots after the kill")
    wait_for(page, lambda: product.query("select state from shoots_pack") == [("delivered",)], 20, "the delivery")

    assert done_at_kill < 8
    assert product.query("select state, count(*) from shoots_headshot group by state") == [("done", 8)]
    assert product.query("select count(distinct blob_id) from shoots_headshot") == [(8,)]


def _done(product: Product) -> int:
    return int(str(product.query("select count(*) from shoots_headshot where state = 'done'")[0][0]))

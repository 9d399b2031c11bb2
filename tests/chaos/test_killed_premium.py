"""kill -9 of the render worker in mid premium pack: it goes on, each headshot once, its person out of the vault."""

import os
import signal
from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.product import Product

COUNT = 10
STATE = "select state from shoots_pack where kind = 'premium'"
DONE = """select count(*) from shoots_headshot h join shoots_pack p on p.id = h.pack_id
    where kind = 'premium' and h.state = 'done'"""
FILES = """select count(*), count(distinct blob_id), count(distinct web_blob_id)
    from shoots_headshot h join shoots_pack p on p.id = h.pack_id where p.kind = 'premium'"""
PREPARED = """select count(*) from shoots_event e join shoots_pack p on p.id = e.pack_id
    where e.name = 'pack.prepared' and p.kind = 'premium'"""
STORED = """select count(*) from vault_blob b join shoots_pack p on p.id = b.key_id
    where b.kind = 'headshot' and p.kind = 'premium'"""
KEPT = "select count(*) from vault_blob where kind = 'subject'"


def test_a_killed_worker_costs_a_premium_pack_time_and_nothing_else(
    start_product: Callable[..., Product], page: Page
) -> None:
    # Large enough that the person is prepared once and kept.
    product = start_product(HEADSHOTS_PREMIUM_COUNT=str(COUNT), HEADSHOTS_PREMIUM_LONG_EDGE="1680")
    sign_up(page, product)
    upload(page, photos.obama_path())
    wait_for(page, lambda: shown_headshots(page) == 4, 60, "the free preview")
    product.order_premium()
    wait_for(page, lambda: number(product, DONE) >= 2, 300, "the first headshots")

    os.kill(product.worker_pid("render"), signal.SIGKILL)
    done_at_kill = number(product, DONE)
    wait_for(page, lambda: product.query(STATE) == [("delivered",)], 300, "the delivery")

    assert done_at_kill < COUNT
    assert product.query(FILES) == [(COUNT, COUNT, COUNT)]
    assert number(product, STORED) == COUNT
    assert number(product, PREPARED) == 1
    wait_for(page, lambda: number(product, KEPT) == 0, 30, "the prepared person to be forgotten")


def number(product: Product, sql: str) -> int:
    return int(str(product.query(sql)[0][0]))

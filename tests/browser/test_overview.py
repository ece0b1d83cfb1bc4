"""The first page: pools as they are now."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.room import Room
from tests.faces.conftest import Web


def test_the_overview_is_live(room: Room, web: Web) -> None:
    pools = room.page.get_by_role("table", name="Pools")
    expect(pools.get_by_text(web.scene.pool.slug)).to_be_visible()
    expect(room.page.get_by_role("status")).to_have_text("live")
    room.look("overview")

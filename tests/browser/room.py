"""The operations room in a real browser, with eyes on what no person sees: errors, other hosts, barriers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect

SCREENS = Path(__file__).resolve().parents[2] / "docs" / "screens"
DESKTOP = (1280, 800)
PHONE = (390, 844)
PATIENCE_MS = 60_000
WIDE = """[...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth)
    .slice(0, 8).map(one => one.outerHTML.slice(0, 160))"""
GRAVE = ("serious", "critical")

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Room:
    """One person at a desk. `page` is Playwright's; what went wrong in it is in `faults`."""

    url: str
    page: Page
    faults: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    """Other hosts (with their ports) that this test's person may be sent to."""

    @classmethod
    def enter(cls, browser: Browser, url: str) -> Room:
        """A window of its own, with nobody logged in."""
        context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_MS)
        room = cls(url, context.new_page())
        room.page.on("console", room._heard)
        room.page.on("pageerror", lambda error: room.faults.append(f"{room.page.url}: {error}"))
        room.page.on("request", room._asked)
        room.page.on("response", room._answered)
        return room

    def leave(self) -> None:
        """Close the window, and say what went wrong in it."""
        self.page.context.close()
        assert not self.faults, "\n".join(self.faults)

    def log_in(self, user: str, password: str) -> None:
        """By the login page, as anybody."""
        self.open("")
        self.page.get_by_label("Username").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(re.compile(rf"{re.escape(self.url)}/console/(?!login/)"))

    def open(self, path: str) -> None:
        """A page of the console: `pools/demo/` for /console/pools/demo/."""
        self.page.goto(f"{self.url}/console/{path}")

    def look(self, name: str) -> None:
        """Have axe look at the page, light and dark, wide and narrow; OPSITE_SCREENS keeps pictures of it under docs/screens.

        Nothing may be wider than a phone, but what scrolls in itself.
        """
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            self.page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
            self._axe(f"{name}, {scheme}")
            self._picture(f"{name}-{scheme}" if scheme == "dark" else name)
        self.page.emulate_media(color_scheme="light")
        self.page.evaluate("document.documentElement.classList.remove('dark')")
        self.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE[0], f"{name}: {wide} px wide on a phone of {PHONE[0]}: {self.page.evaluate(WIDE)}"
        self._axe(f"{name}, phone")
        self._picture(f"{name}-phone")
        self.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})

    def _axe(self, where: str) -> None:
        found = [one for one in Axe().run(self.page).response["violations"] if one["impact"] in GRAVE]
        told = [
            f"{where}: {one['id']} ({one['impact']}): {one['help']}: "
            + "; ".join(node["html"][:200] for node in one["nodes"][:5])
            for one in found
        ]
        assert not told, "\n".join(told)

    def _picture(self, name: str) -> None:
        if os.environ.get("OPSITE_SCREENS"):
            SCREENS.mkdir(exist_ok=True)
            self.page.screenshot(path=SCREENS / f"{name}.png")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{self.page.url}: {message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        hosts = {urlsplit(self.url).netloc, *self.known}
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc not in hosts:
            self.faults.append(f"{self.page.url} asked another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.url}: {response.status}")

"""Every page, in every state of `pages.VISITS`, light and dark, on a phone and on a desktop: nothing to complain about.

Looked for in the same visits: axe's violations, content security policy violations and all else that Chromium writes on
its console, requests to other sites, answers without a strict policy, pages that weigh too much or are wider than the
screen, tables that are cut on a tablet, what something docked covers while it has the focus, and on a student's pages
what a finger can't hit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response

from tests.browser import pages
from tests.browser.conftest import PATIENCE_MS, ROOT, elsewhere
from tests.browser.pages import VISITS, PagesWorld
from tests.conftest import Cast
from tests.evaluations.routes import Route, walk

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

AXE: Final = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# In the dark only colours differ: the page is the same.
RULES: Final[dict[Literal["light", "dark"], object]] = {
    "light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
RUN_AXE: Final = """
async ([where, rules]) => {
  const changes = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.all(changes.map((each) => each.finished.catch(() => {})));
  const found = await axe.run(where, { runOnly: rules, preload: false, resultTypes: ["violations"] });
  return found.violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 150)} ${node.failureSummary}`));
}
"""
EVERYTHING: Final = {"include": ["html"]}
# Of Django's admin only what is ours: the frame around it, and the tables that it makes itself, are not.
OURS_IN_ADMIN: Final = {"include": ["#content"], "exclude": [".inline-group"]}
PHONE: Final = 360
TABLET: Final = 768
WIDTHS: Final = (PHONE, 1280)
OF_PAGES: Final = {
    "default-src 'self'",
    "img-src 'self' data:",
    "media-src 'self' blob:",
    *("object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"),
}
OF_MEDIA: Final = {"sandbox", "default-src 'none'"}
FOR_FINGERS: Final = (
    "login",
    "card",
    "join",
    "join-waiting",
    "account",
    "dashboard",
    "record",
    "submission",
    "submission-delete",
    "consent",
    "privacy",
)  # a student's pages
MIN_PIXELS: Final = 44
TOO_SMALL: Final = """
(least) =>
  [...document.querySelectorAll("button, a.button, a.name, header a, summary, select, input")]
    .filter((each) => each.getClientRects().length && !each.closest("video"))
    .map((each) => (each.type === "checkbox" && each.closest("label")) || each)  // its words are touched as well
    .filter((each) => Math.min(each.getBoundingClientRect().width, each.getBoundingClientRect().height) < least - 0.5)
    .map((each) => each.outerHTML.slice(0, 150))
"""
CUT: Final = """
() => [...document.querySelectorAll(".scroll")]
  .filter((each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1)
  .map((each) => `${each.id} takes ${each.scrollWidth} of ${each.clientWidth} px`)
"""
# What gets the focus must be in sight (WCAG 2.4.11): nothing that is docked may lie on it.
COVERED: Final = """
async () => {
  const isCovered = (each) => {
    const box = each.getClientRects()[0];
    if (document.activeElement !== each || !box || box.width < 2) return false;
    const above = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return !above || !(each.contains(above) || above.contains(each) || each.labels?.[0]?.contains(above));
  };
  const controls = [...document.querySelectorAll("a[href], button, summary, select, textarea, input")];
  const candidates = controls.filter((each) => {
    each.focus();
    return isCovered(each);
  });
  const found = [];
  for (const each of candidates) {
    each.focus();
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));  // what was never in sight
    if (isCovered(each)) found.push(each.outerHTML.slice(0, 150));
  }
  document.activeElement.blur();
  scrollTo(0, 0);
  return found;
}
"""
MAX_BYTES: Final = 150_000  # of scripts and styles together, as they are served: not compressed
WHEN_NEEDED: Final = "/static/vendor/tus.min.js"  # no page opens with it; it comes with the first file that is chosen


@dataclass
class Watch:
    """What went wrong on one page."""

    page: Page
    site: str
    weights: dict[str, int] = field(default_factory=dict)  # address → bytes, of scripts and styles
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self.note_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.page.on("request", lambda request: self.note_request(request.url))
        self.page.on("websocket", lambda socket: self.note_request(socket.url.replace("ws:", "http:")))
        self.page.on("response", self.weigh)

    def note_console(self, said: ConsoleMessage) -> None:
        # Whatever was refused is seen with its address below.
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            self.problems.append(said.text)

    def note_request(self, url: str) -> None:
        if not url.startswith((f"{self.site}/", f"blob:{self.site}/", "data:")):
            self.problems.append(f"a request to {url}")

    def weigh(self, response: Response) -> None:
        if not response.url.startswith(self.site):
            return
        policy = set(response.headers.get("content-security-policy", "").split("; "))
        if policy not in (OF_PAGES, OF_MEDIA):
            self.problems.append(f"the policy of {response.url} is {policy}")
        if not (response.ok or response.status == 304 or response.request.is_navigation_request()):
            self.problems.append(f"{response.status} {response.url}")
        if response.request.resource_type in ("script", "stylesheet") and not response.url.endswith(WHEN_NEEDED):
            self.weights[response.url] = int(response.headers["content-length"])

    def inspect(self, where: object, *, finger: bool) -> None:
        """On both screens, in both schemes; `where` is a context of axe's. `finger`: one must hit all of it."""
        devtools = self.page.context.new_cdp_session(self.page)
        self.page.evaluate(AXE.read_text())  # by the debugger, which the page's policy leaves alone
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": width == PHONE})
            for scheme, rules in RULES.items():
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                found = self.page.evaluate(RUN_AXE, [where, rules])
                self.problems += [f"{scheme}, {width} px: {each}" for each in found]
            if finger and width == PHONE:
                small = self.page.evaluate(TOO_SMALL, MIN_PIXELS)
                self.problems += [f"too small for a finger: {each}" for each in small]
            taken = self.page.evaluate("document.documentElement.scrollWidth")
            if taken > width:
                self.problems.append(f"it takes {taken} of {width} px")
        self.page.set_viewport_size({"width": TABLET, "height": 800})
        self.problems += [f"{TABLET} px: {each}" for each in self.page.evaluate(CUT)]
        self.problems += [f"{TABLET} px, covered: {each}" for each in self.page.evaluate(COVERED)]
        if self.page.evaluate("document.getAnimations().length"):
            self.problems.append("something moves, though the person wants nothing to")


def sign_in(context: BrowserContext, world: PagesWorld, who: str | None, site: str) -> None:
    context.clear_cookies()
    if who:
        context.add_cookies([{"name": "sessionid", "value": world.sessions[who], "url": site}])


@pytest.mark.timeout(600)  # all pages beside the other lanes
def test_every_page_in_every_state(chromium: Browser, site: str, cast: Cast) -> None:
    world = elsewhere(pages.build, cast)
    problems: list[str] = []
    context = chromium.new_context(base_url=site, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    for name, who, visit in VISITS:
        sign_in(context, world, who, site)
        watch = Watch(context.new_page(), site)
        for state in visit(watch.page, world):
            watch.inspect(OURS_IN_ADMIN if name == "admin" else EVERYTHING, finger=name in FOR_FINGERS)
            problems += [f"{name}, {state}: {problem}" for problem in watch.problems]
            watch.problems.clear()
        weight = sum(watch.weights.values())
        if weight > MAX_BYTES and name != "admin":
            problems.append(f"{name} weighs {weight} bytes: {watch.weights}")
        watch.page.close()
    context.close()
    assert not problems, "\n".join(problems)


def test_every_page_of_the_site_is_visited(cast: Cast) -> None:
    """A new page needs a visit. Which addresses are pages is asked of the site itself."""
    visited = {name for name, _, _ in VISITS if not name.startswith(("admin", "error"))}
    assert elsewhere(pages_found_by_walking, cast) == visited


def pages_found_by_walking(cast: Cast) -> set[str]:
    world = pages.build(cast)
    clients = [
        Client(),
        *(Client(headers={"cookie": f"sessionid={world.sessions[who]}"}) for who in ("ada", "teacher", "root")),
    ]
    return {route.name for route in walk() for client in clients if is_page(route, client, world)}


def is_page(route: Route, client: Client, world: PagesWorld) -> bool:
    if route.name.startswith("admin:"):
        return False
    key: object = world.cast.classroom.pk if "<int:" in route.pattern else world.submissions["done"].pk
    if len(re.findall("<", route.pattern)) > 1:
        key = {"pk": world.cast.classroom.pk, "submission": world.submissions["done"].pk, "student": world.cast.ada.pk}
    if route.pattern.startswith("reratings/"):
        key = world.orders["ended"].pk
    if route.name == "guide":
        key = "student"
    answer = client.get(route.filled(key))
    if answer.status_code != 200:  # a file that is not theirs is a page that says so
        return False
    return answer.headers["Content-Type"].startswith("text/html") and b"<html" in b"".join(answer)

"""The frame of every page: the keyboard, a part that is down, and the keys it is given."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from neuralstream_core.keys import KeyStore, Scope
from neuralstream_core.table import Table
from neuralstream_local.laptop import KEYS_TABLE


def test_the_overview_has_the_numbers_of_the_api(console, laptop):
    page = console.go("#/", "Overview")
    models = laptop.request("GET", "/models?limit=200").json()["models"]
    views = laptop.request("GET", "/features/views?limit=1000").json()["views"]
    for name, value in (("models", len(models)), ("feature views", len(views))):
        tile = page.locator(".tile", has=page.get_by_text(name, exact=True))
        expect(tile.locator(".tile-value")).to_have_text(str(value))
    row = page.get_by_role("row", name="flight_delay")
    expect(row).to_contain_text("v1 90 %, v2 10 %")


def test_pages_are_reached_and_dialogs_left_by_keyboard(console):
    page = console.go("#/models/flight_delay", "flight_delay")
    button = page.get_by_role("button", name="Promote v2")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    assert console.violations() == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    page.get_by_role("link", name="Keys").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("API keys")


def look_again(page):
    """As when a person comes back to the tab: everything is asked for at once."""
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")


def test_a_part_that_is_down_is_named_and_what_was_shown_stays(console, laptop, without_redis):
    console.tolerates.append("503")
    page = console.go("#/views/weather?entity=EWR", "weather")
    expect(page.get_by_role("region", name="Features of EWR")).to_be_visible()
    with without_redis(laptop):
        look_again(page)
        expect(page.locator(".banner.bad")).to_contain_text("redis", timeout=30_000)
        expect(page.get_by_text("Not current.")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("region", name="Features of EWR")).to_be_visible()
    look_again(page)
    expect(page.locator(".banner.bad")).to_have_count(0, timeout=30_000)


def test_a_registry_that_is_down_is_named_and_the_page_recovers_by_itself(
    console, laptop, without_registry
):
    console.tolerates.append("503")
    page = console.go("#/models", "Models")
    with without_registry(laptop):
        look_again(page)
        expect(page.locator(".banner.bad")).to_contain_text("registry", timeout=60_000)
        expect(page.locator(".banner.warn")).to_contain_text("registry", timeout=60_000)
        expect(page.get_by_role("link", name="flight_delay")).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0, timeout=90_000)
    expect(page.get_by_role("link", name="flight_delay")).to_be_visible()


def test_a_stack_that_does_not_answer_leaves_what_was_shown_and_is_asked_again(console):
    console.tolerates.append("net::ERR_FAILED")
    page = console.go("#/models", "Models")
    page.route("**/models?**", lambda route: route.abort())
    look_again(page)
    expect(page.locator(".banner.warn")).to_contain_text("does not answer")
    expect(page.get_by_role("link", name="flight_delay")).to_be_visible()
    page.unroute("**/models?**")
    look_again(page)
    expect(page.locator(".banner.warn")).to_have_count(0)


@pytest.fixture
def store(stack_with_keys):
    return KeyStore(Table(stack_with_keys.client("dynamodb"), KEYS_TABLE))


def give(page, key):
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("Key").fill(key)
    dialog.get_by_role("button", name="Use it").click()


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(opened, stack_with_keys, store):
    console = opened(stack_with_keys)
    console.tolerates += ["401", "403"]
    asked = []
    console.page.on("request", lambda request: asked.append(request.url))
    page = console.go("#/models")
    minted = store.mint("a person", [Scope.MODELS_READ])
    give(page, minted.key)
    expect(page.get_by_text("No model is registered yet.")).to_be_visible()
    assert minted.key not in "".join(asked)
    assert minted.key not in page.content()
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie") == "{}"

    console.go("#/views")
    expect(page.get_by_role("alert")).to_contain_text("features:read")
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("button", name="API key")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_key_that_ended_is_said_so_and_another_one_is_asked_for(opened, stack_with_keys, store):
    console = opened(stack_with_keys)
    console.tolerates += ["401", "403"]
    past = KeyStore(
        Table(stack_with_keys.client("dynamodb"), KEYS_TABLE), clock=lambda: 1_600_000_000_000_000
    )
    ended = past.mint("leaver", list(Scope), expires_at=1_600_000_060_000_000)
    page = console.go("#/models")
    give(page, ended.key)
    expect(page.get_by_role("dialog")).to_contain_text("unknown, expired or revoked")
    give(page, store.mint("a person", [Scope.MODELS_READ]).key)
    expect(page.get_by_text("No model is registered yet.")).to_be_visible()


def test_a_key_is_minted_shown_once_and_revoked(opened, stack_with_keys, store):
    console = opened(stack_with_keys)
    console.tolerates += ["401"]
    page = console.go("#/keys")
    give(page, store.mint("admin", list(Scope)).key)
    page.get_by_role("button", name="Mint a key").click()
    page.get_by_label("Holder").fill("nightly <i>job</i>")
    page.get_by_label("predict", exact=False).first.check()
    page.get_by_role("button", name="Mint", exact=True).click()
    shown = page.locator("pre")
    expect(shown).to_be_visible()
    found = store.find(shown.inner_text())
    assert found is not None
    assert (found.principal, list(found.scopes)) == ("nightly <i>job</i>", ["predict"])
    row = page.get_by_role("row").filter(has_text=found.key_id)
    row.get_by_role("button", name=f"Revoke {found.key_id}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    assert store.find(shown.inner_text()).revoked_at is not None

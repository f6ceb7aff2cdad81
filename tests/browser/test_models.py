"""Models in the console: what is shown is what the API says, and each change says first what it will do."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support.churn import make_model


def dialog_of(page, button, **how):
    page.get_by_role("button", name=button, **how).click()
    return page.get_by_role("dialog")


def changes(dialog):
    """The rows of the table of what will change."""
    expect(dialog.locator("table.changes")).to_be_visible()
    rows = dialog.locator("table.changes tbody tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


def test_versions_stand_side_by_side_with_their_metrics(console, laptop):
    page = console.go("#/models/flight_delay", "flight_delay")
    table = page.get_by_role("region", name="Versions")
    versions = laptop.request("GET", "/models/flight_delay/versions").json()["versions"]
    for version in versions:
        row = table.get_by_role("row").filter(has_text=version["description"])
        expect(row).to_contain_text(version["version"])
        expect(row).to_contain_text(version["stage"])
        auc = row.locator(f'[title="{version["metrics"]["auc"]}"]')
        expect(auc).to_have_text(str(version["metrics"]["auc"]))
    compared = page.get_by_role("region", name="Side by side")
    metric = compared.get_by_role("row", name="metric auc")
    for version in versions:
        expect(metric).to_contain_text(str(version["metrics"]["auc"]))
    page.get_by_label("Compare v1").uncheck()
    expect(compared.get_by_role("columnheader")).to_have_count(1)


def test_a_split_a_promotion_and_a_rollback(console, laptop):
    make_model(laptop, "console_changes", versions=2)
    page = console.go("#/models/console_changes", "console_changes")

    dialog = dialog_of(page, "Split", exact=True)
    dialog.get_by_label("Share of v2 in percent").fill("35")
    dialog.get_by_label("Share of v2 in percent").press("Tab")
    expect(dialog.locator("table.changes tbody")).to_contain_text("v1 65 %, v2 35 %")
    dialog.get_by_label("Reason").fill("try <b>v2</b>")
    dialog.get_by_role("button", name="Split the traffic").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    split = laptop.request("GET", "/models/console_changes/ab-split").json()["split"]
    assert split == {"v1": 0.65, "v2": 0.35}
    trail = page.get_by_role("region", name="What happened")
    expect(trail.get_by_role("row").nth(1)).to_contain_text("try <b>v2</b>")

    dialog = dialog_of(page, "Promote v2")
    assert changes(dialog) == [
        ["in production", "v1", "v2"],
        ["stage of v2", "staging", "production"],
        ["stage of v1", "production", "archived"],
        ["split", "v1 65 %, v2 35 %", "ended: all to production"],
    ]
    dialog.get_by_role("button", name="Promote v2").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    model = laptop.request("GET", "/models/console_changes").json()
    assert (model["production_version"], model["ab_split"]) == ("v2", None)

    dialog = dialog_of(page, "Roll back")
    assert changes(dialog)[0] == ["in production", "v2", "v1"]
    dialog.get_by_label("Reason").fill("worse")
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(trail.get_by_role("row").nth(1)).to_contain_text("worse")
    assert laptop.request("GET", "/models/console_changes").json()["production_version"] == "v1"


def test_a_shadow_a_ramp_and_an_archive(console, laptop):
    make_model(laptop, "console_shadow", versions=3)
    page = console.go("#/models/console_shadow", "console_shadow")

    dialog = dialog_of(page, "Shadow", exact=True)
    dialog.get_by_label("Version").select_option("v2")
    dialog.get_by_role("button", name="Set the shadow").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    shadow = laptop.request("GET", "/models/console_shadow/shadow").json()["shadow"]
    assert (shadow["version"], shadow["sample"]) == ("v2", 1)
    dialog_of(page, "End the shadow").get_by_role("button", name="End the shadow").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert laptop.request("GET", "/models/console_shadow/shadow").json()["shadow"] is None

    dialog = dialog_of(page, "Archive v2")
    assert changes(dialog) == [["stage of v2", "staging", "archived"]]
    dialog.get_by_role("button", name="Archive v2").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    version = laptop.request("GET", "/models/console_shadow/versions/v2").json()
    assert version["stage"] == "archived"

    dialog = dialog_of(page, "Ramp", exact=True)
    dialog.get_by_role("button", name="Start the ramp").click()
    refused = dialog.get_by_role("alert")
    expect(page.get_by_role("dialog").or_(refused)).to_have_count(0)
    ramp = laptop.request("GET", "/models/console_shadow/ab-split").json()["ramp"]
    assert ramp["version"] == "v3"
    assert [step["share"] for step in ramp["steps"]] == [0.05, 0.25, 1.0]


def test_a_guard_is_set_changed_and_removed(console, laptop):
    make_model(laptop, "console_guard")
    path = "/models/console_guard/guard"
    page = console.go("#/models/console_guard", "console_guard")

    dialog = dialog_of(page, "Guard", exact=True)
    dialog.get_by_label("Value of rule 1").fill("0.1")
    dialog.get_by_role("button", name="Add a rule").click()
    dialog.get_by_label("Measure of rule 2").select_option("performance.accuracy")
    dialog.get_by_label("Bound of rule 2").select_option("min")
    dialog.get_by_label("Value of rule 2").fill("")
    expect(dialog.get_by_role("button", name="Set the guard")).to_be_disabled()
    dialog.get_by_label("Value of rule 2").fill("0.7")
    dialog.get_by_label("When a rule is broken").select_option("announce")
    errors = "share of failed rows at most 0.1, in 2 windows of 5m"
    accuracy = "accuracy at least 0.7, in 2 windows of 5m"
    assert changes(dialog) == [
        ["rule", "none", errors],
        ["rule", "none", accuracy],
        ["when a rule is broken", "nothing", "announce it"],
    ]
    dialog.get_by_label("Reason").fill("first release")
    dialog.get_by_role("button", name="Set the guard").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    guard = laptop.request("GET", path).json()["guard"]
    assert [(each["metric"], each["max"], each["min"]) for each in guard["rules"]] == [
        ("error_rate", 0.1, None),
        ("performance.accuracy", None, 0.7),
    ]
    assert guard["action"] == "announce"
    expect(page.locator("dd").filter(has_text=errors)).to_contain_text("Then announce it.")
    trail = page.get_by_role("region", name="What happened")
    expect(trail.get_by_role("row").nth(1)).to_contain_text("first release")

    dialog = dialog_of(page, "Guard", exact=True)
    expect(dialog.get_by_role("button", name="Set the guard")).to_be_disabled()
    dialog.get_by_label("Remove rule 2").click()
    dialog.get_by_label("Measure of rule 1").select_option("drift")
    dialog.get_by_label("Value of rule 1").fill("0.05")
    dialog.get_by_label("Windows of rule 1").fill("3")
    console.tolerates.append("422")
    dialog.get_by_role("button", name="Set the guard").click()
    expect(dialog.get_by_role("alert")).to_contain_text("drift takes a max of at least 0.1")
    dialog.get_by_label("Value of rule 1").fill("0.25")
    assert changes(dialog) == [
        ["rule", errors, "removed"],
        ["rule", accuracy, "removed"],
        ["rule", "none", "drift, largest PSI at most 0.25, in 3 windows of 5m"],
    ]
    dialog.get_by_role("button", name="Set the guard").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    (rule,) = laptop.request("GET", path).json()["guard"]["rules"]
    assert (rule["metric"], rule["max"], rule["windows"]) == ("drift", 0.25, 3)

    dialog = dialog_of(page, "Remove the guard")
    assert [row[2] for row in changes(dialog)] == ["removed"]
    assert console.violations() == []
    dialog.get_by_role("button", name="Remove the guard").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert laptop.request("GET", path).json()["guard"] is None


def test_a_change_that_somebody_else_made_first_is_refused_and_said_so(console, laptop):
    make_model(laptop, "console_race", versions=3)
    console.tolerates.append("409")
    page = console.go("#/models/console_race", "console_race")
    dialog = dialog_of(page, "Promote v2")
    assert laptop.request("POST", "/models/console_race/promote/v3").status == 200
    expect(page.locator("dd strong")).to_have_text("v3", timeout=30_000)  # the page behind knows

    assert changes(dialog)[0] == ["in production", "v1", "v2"]
    dialog.get_by_role("button", name="Promote v2").click()

    expect(dialog.get_by_role("alert")).to_contain_text("v3")
    assert laptop.request("GET", "/models/console_race").json()["production_version"] == "v3"
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_texts_that_look_like_markup_stay_texts(console, laptop):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}${8*8}"
    make_model(
        laptop,
        "console_hostile",
        description=hostile,
        params={hostile[:60]: hostile, "html": {"__html": hostile}},
        tags={"note": hostile[:100]},
        lineage={"run_id": hostile[:100]},
    )
    edit = {"description": hostile}
    assert laptop.request("PATCH", "/models/console_hostile", edit).status == 200
    page = console.go("#/models/console_hostile", "console_hostile")

    expect(page.get_by_text(hostile, exact=True).first).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    console.go("#/models")
    expect(page.get_by_text(hostile, exact=True).first).to_be_visible()
    assert page.locator("main img, main script").count() == 0

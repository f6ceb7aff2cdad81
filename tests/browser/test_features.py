"""Feature views and the form to predict: what the page shows is what the API answers."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support.churn import FEATURES, make_model, make_view


def test_an_entitys_features_are_those_of_the_api(console, laptop):
    page = console.go("#/views/weather", "weather")
    page.get_by_label("airport").fill("EWR")
    page.get_by_role("button", name="Look up").click()
    table = page.get_by_role("region", name="Features of EWR")
    row = laptop.request("GET", "/features/weather/EWR").json()
    assert len(row["features"]) == 8
    for feature, value in row["features"].items():
        shown = table.get_by_role("row").filter(has=page.get_by_text(feature, exact=True))
        exact = float(shown.locator(".num").get_attribute("title"))
        assert exact == value
    expect(page.locator(f'time[title="{row["event_timestamp"]}"]').first).to_be_visible()


def test_the_history_of_a_cell_is_that_of_the_api(console, laptop):
    """Every write of a cell in a table and as steps; the exact value of the step under the pointer."""
    view, (feature, other, _) = "console_cell", FEATURES
    make_view(laptop, view)
    written = [("10:00", 1.25), ("11:00", None), ("12:00", 1 / 3), ("09:00", 7.0)]
    for at, value in written:
        body = {"feature_view": view, "entity_id": "u/1", "features": {feature: value}}
        body["event_timestamp"] = f"2026-02-21T{at}:00Z"
        assert laptop.request("POST", "/features/write", body).status == 200
    page = console.go(f"#/views/{view}?entity=u%2F1", view)
    path = f"/features/views/{view}/history?entity_id=u%2F1&feature={feature}"
    rows = laptop.request("GET", path).json()["rows"]
    shown = console.table(f"History of {feature}")
    assert [each["Value"].text for each in shown] == ["0.3333", "NULL", "1.25", "7"]
    for said, row in zip(shown, rows, strict=True):
        assert said["Event time"].titles == [row["event_timestamp"]]
        assert said["Written"].titles == [row["written_at"]]
        assert (said["By"].text, said["By"].titles) == (row["source"], [row["request_id"]])
        value = row["features"][feature]
        assert list(map(float, said["Value"].titles)) == ([] if value is None else [value])

    chart = page.get_by_role("img", name=f"{feature} of u/1")
    caption = page.locator("figcaption", has_text="2026-02-21")
    expect(caption).to_have_text(f"2026-02-21T12:00:00Z: {1 / 3}")
    box = chart.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    expect(caption).to_have_text("2026-02-21T09:00:00Z: 7")
    page.mouse.move(box["x"] + box["width"] * 2 / 3, box["y"] + 20)
    expect(caption).to_have_text("2026-02-21T11:00:00Z: NULL")

    page.get_by_role("combobox", name="Feature").select_option(other)
    expect(page.get_by_text("Nothing was written that is kept.")).to_be_visible()
    expect(chart).to_have_count(0)


def test_ids_of_any_characters_and_every_status(console, laptop):
    view = "console_pairs"
    make_view(laptop, view, entity=["shop", "user"])
    ids = ["a,b\\c", "<b>/ü?#&"]
    body = {"feature_view": view, "entity_id": ids}
    body["features"] = {FEATURES[0]: 1.25, FEATURES[1]: None}
    assert laptop.request("POST", "/features/write", body).status == 200
    page = console.go(f"#/views/{view}", view)
    for key, part in zip(["shop", "user"], ids, strict=True):
        page.get_by_label(key).fill(part)
    page.get_by_role("button", name="Look up").click()
    expect(page.locator("main strong")).to_have_text(", ".join(ids))
    for feature, said in zip(FEATURES, ["1.25", "NULL", "NOT FOUND"], strict=True):
        rows = page.get_by_role("row").filter(has=page.get_by_text(feature, exact=True))
        expect(rows.first).to_contain_text(said)


def test_a_prediction_shows_what_the_model_saw(console, laptop):
    page = console.go("#/predict/flight_delay", "Predict")
    sent = {"distance": 488.0, "sched_hour": 10.0, "weekday": 0.0}
    entities = {"airport": "EWR", "carrier": "EV", "tailnum": "N11194"}
    page.get_by_label("Entity id").fill("EV4297")
    for key, value in entities.items():
        page.get_by_label(key, exact=True).fill(value)
    for name, value in sent.items():
        page.get_by_label(f"{name} (float64)").fill(str(value))
    page.get_by_role("button", name="Predict").click()

    body = {"entity_id": "EV4297", "entities": entities, "features": sent, "return_features": True}
    answer = laptop.request("POST", "/predict/flight_delay", body).json()
    expect(page.locator(".big")).to_have_text(str(answer["prediction"]))
    expect(page.locator(f'.num[title="{answer["probability"]}"]')).to_be_visible()
    table = page.get_by_role("region", name="What the model saw")
    assert table.get_by_role("row").count() == 1 + len(answer["features"])
    for feature, value in answer["features"].items():
        row = table.get_by_role("row").filter(has=page.get_by_text(feature, exact=True))
        assert float(row.locator(".num").get_attribute("title")) == value


def test_a_value_that_is_none_is_refused_in_the_form(console, laptop):
    make_model(laptop, "console_form")
    console.tolerates.append("422")
    page = console.go("#/predict/console_form", "Predict")
    for feature in FEATURES:
        page.get_by_label(feature).fill("many")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text(FEATURES[0])
    expect(page.locator(".big")).to_have_count(0)

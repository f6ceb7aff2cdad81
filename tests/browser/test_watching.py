"""Serving, drift, outcomes, jobs and lineage: the pages show what the API answers."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from examples.flights.load import JOB_INPUT, JOB_OUTPUT, MODEL, WEATHER_MODEL
from tests.support.chromium import Console
from tests.support.stack import RunningStack

HOSTILE = '<img src=x onerror="window.ran=1">"\'&lt;${1}'


@pytest.fixture
def tab(opened, watched: RunningStack) -> Console:
    return opened(watched)


def test_serving_shows_the_numbers_of_every_version(tab, watched):
    stats = watched.request("GET", f"/monitoring/stats?model={MODEL}&window=24h").json()
    tab.go(f"#/serving/{MODEL}?window=24h", f"Serving of {MODEL}")
    rows = tab.table("Versions")
    assert [row["Version"].text for row in rows] == [each["version"] for each in stats["versions"]]
    for row, version in zip(rows, stats["versions"], strict=True):
        assert row["Requests"].exact == version["requests"]
        assert row["Rows"].exact == version["rows"]
        if version["rows"]:
            assert row["Error rate"].exact == version["error_rate"]
            for name in ("p50", "p95", "p99"):
                assert row[f"Total {name}"].exact == version["latency_ms"]["total"][name]
    parts = {row["Part"].text: row for row in tab.table("Latency of v1 by part")}
    latency = stats["versions"][0]["latency_ms"]
    assert {part: row["p99"].exact for part, row in parts.items()} == {
        part: latency[part]["p99"] for part in latency
    }


def test_serving_says_when_traffic_does_not_follow_the_split(tab, watched):
    path = f"/monitoring/stats?model={MODEL}&window=1h"
    stats = watched.request("GET", path).json()
    stats["split"] = {
        "start": "2026-01-01T00:00:00Z",
        "n": 1000,
        "chi2": 40.5,
        "p": 1.97e-10,
        "mismatch": True,
    }
    tab.page.route(f"**{path}", lambda route: route.fulfill(json=stats))
    page = tab.go(f"#/serving/{MODEL}")
    page.get_by_text("does not follow the split").wait_for()
    assert page.get_by_title("1.97e-10", exact=False).first.is_visible()
    shares = page.get_by_role("img", name="Share of the traffic by version")
    shown = shares.evaluate("chart => [...chart.querySelectorAll('title')].map(t => t.textContent)")
    for version in stats["versions"]:
        if version["configured_share"] is not None:
            name = version["version"]
            assert f"{name}, configured: {version['configured_share']}" in shown
            observed = version["traffic_share"] or 0
            whole = observed == int(observed)  # a browser writes 1 for 1.0
            assert f"{name}, observed: {int(observed) if whole else observed}" in shown


def test_drift_shows_the_most_urgent_version_first_and_each_series_with_its_sentence(
    tab, watched, picture
):
    listed = watched.request("GET", "/monitoring/drift?window=24h").json()["models"]
    tab.go("#/drift?window=24h", "Drift")
    rows = tab.table("Versions with traffic")
    assert [row["Version"].text for row in rows] == [
        f"{each['model']} {each['version']}" for each in listed
    ]
    assert [row["What moved"].text for row in rows] == [each["summary"] for each in listed]
    tab.page.get_by_role("link", name=f"{WEATHER_MODEL} v2").click()
    tab.page.get_by_role("heading", level=1, name=f"Drift of {WEATHER_MODEL} v2").wait_for()
    tab.settled()
    path = f"/monitoring/drift?model={WEATHER_MODEL}&version=v2&window=24h"
    report = watched.request("GET", f"{path}&bins=all").json()
    psi = [[float(t) for t in row["PSI"].titles if t] for row in tab.table("Every series")]
    assert psi == [[s["psi"]] if s["psi"] is not None else [] for s in report["series"]]
    titles = tab.page.get_by_role("heading", level=2).all_inner_texts()
    assert titles == [
        "Altogether",
        "Hour by hour",
        "Every series",
        *(series["feature"] for series in report["series"]),
    ]
    for series in report["series"]:
        assert tab.page.get_by_text(series["sentence"], exact=True).first.is_visible()
    hours = tab.table("Drift hour by hour")
    assert "drift" in {row["Status"].text for row in hours}
    assert sum(row["Rows"].exact for row in hours) == report["rows"]
    worst = report["series"][0]
    chart = tab.page.get_by_role("img", name=f"{worst['feature']}: share by bin")
    shown = chart.evaluate("chart => [...chart.querySelectorAll('title')].map(t => t.textContent)")
    for each in worst["bins"]:
        assert any(text.startswith(f"{each['bin']}, reference: ") for text in shown)
    assert tab.page.locator(f'[title="{worst["psi"]}"]').first.is_visible()
    chart.evaluate("chart => chart.closest('section').scrollIntoView()")
    picture(tab, "console-drift")


def test_the_overview_leads_to_what_asks_for_attention(tab, picture):
    page = tab.go("#/", "Overview")
    page.get_by_role("link", name=f"{WEATHER_MODEL} v2", exact=True).click()
    page.get_by_role("heading", level=1, name=f"Drift of {WEATHER_MODEL} v2").wait_for()
    tab.go(f"#/models/{MODEL}", MODEL)
    picture(tab, "console-model")


def test_outcomes_show_each_measure_with_its_interval_and_the_verdict(tab, watched, picture):
    path = f"/monitoring/performance?model={MODEL}&window=24h&series=hour"
    (version,) = [v for v in watched.request("GET", path).json()["versions"] if v["n"]]
    results = watched.request("GET", f"/models/{MODEL}/ab-split/results").json()
    tab.go(f"#/outcomes/{MODEL}?window=24h", f"Outcomes of {MODEL}")
    rows = tab.table(f"Measures of {version['version']}")
    for row, found in zip(rows, version["metrics"].values(), strict=True):
        assert row["Value"].exact == found["value"]
        assert [float(end) for end in row["95 % interval"].titles] == [found["low"], found["high"]]
        assert row["Over"].exact == found["n"]
    assert tab.page.get_by_text(version["sentence"], exact=True).is_visible()
    tab.page.get_by_text(results["verdict"], exact=True).first.wait_for()
    shares = {row["Version"].text: row for row in tab.table("Versions of the split")}
    assert {name: row["Share"].exact for name, row in shares.items()} == {"v1": 0.9, "v2": 0.1}
    picture(tab, "console-outcomes")


def test_a_model_that_never_had_a_split_is_not_asked_for_results_unless_one_wants_them(tab):
    page = tab.go(f"#/outcomes/{WEATHER_MODEL}", f"Outcomes of {WEATHER_MODEL}")
    page.get_by_text("No split is running.").wait_for()
    assert tab.errors == []
    tab.tolerates.append("409")
    page.get_by_role("button", name="Results of the last split").click()
    page.get_by_role("alert").get_by_text("never split").wait_for()


def test_a_job_is_submitted_and_followed_until_it_is_done(tab, watched):
    page = tab.go("#/jobs", "Jobs")
    page.get_by_role("button", name="Predict a file").click()
    page.get_by_label("Model").fill(WEATHER_MODEL)
    page.get_by_label("Input").fill(JOB_INPUT)
    page.get_by_label("Output").fill(JOB_OUTPUT)
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("heading", level=1, name="Job job-").wait_for()
    page.get_by_text("SUCCEEDED", exact=True).wait_for()
    job_id = page.url.rpartition("/")[2]
    job = watched.request("GET", f"/jobs/{job_id}").json()
    assert job["outcome"]["rows"] == 3
    assert page.get_by_text(job["outcome"]["manifest"], exact=True).is_visible()
    tab.go("#/jobs", "Jobs")
    (row,) = [row for row in tab.table("Jobs") if row["Job"].text == job_id]
    assert (row["Kind"].text, row["Status"].text) == ("predict", "SUCCEEDED")
    assert (row["Rows"].exact, row["Failed"].exact) == (3, 0)


def test_a_job_that_is_refused_says_why_and_stays_on_the_form(tab):
    tab.tolerates.append("404")
    page = tab.go("#/jobs", "Jobs")
    page.get_by_role("button", name="Predict a file").click()
    page.get_by_label("Model").fill("no_such_model")
    page.get_by_label("Input").fill(JOB_INPUT)
    page.get_by_label("Output").fill(JOB_OUTPUT)
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("alert").get_by_text("no_such_model").wait_for()
    assert page.get_by_label("Model").input_value() == "no_such_model"


def test_lineage_draws_every_node_and_tells_what_happened(tab, watched, picture):
    lineage = watched.request("GET", f"/models/{MODEL}/lineage").json()
    page = tab.go(f"#/lineage/{MODEL}", f"Lineage of {MODEL}")
    drawn = page.locator("svg.graph").evaluate(
        "graph => [...graph.querySelectorAll('title')].map(title => title.textContent)"
    )
    for node in lineage["graph"]["nodes"]:
        assert node["id"] in drawn
    assert page.locator("svg.graph polyline").count() == len(lineage["graph"]["edges"])
    events = tab.table("Events")
    assert [row["What"].text for row in events] == [
        event["kind"].replace("_", " ") for event in reversed(lineage["events"])
    ]
    assert "first model" in [row["Reason"].text for row in events]
    picture(tab, "console-lineage")
    page.locator("svg.graph").get_by_role("link", name="weather#1").click()
    page.get_by_role("heading", level=1, name="weather").wait_for()


def test_hostile_text_of_others_is_shown_as_text(tab, watched):
    tab.tolerates += ["404", "422"]
    body = {"reason": HOSTILE}
    assert watched.request("POST", f"/models/{WEATHER_MODEL}/promote/v2", body).status == 200
    assert watched.request("POST", f"/models/{WEATHER_MODEL}/rollback", body).status == 200
    tab.go(f"#/lineage/{WEATHER_MODEL}")
    assert HOSTILE in [row["Reason"].text for row in tab.table("Events")]
    for page in ("serving", "lineage", "outcomes", "jobs"):
        tab.go(f"#/{page}/{quote(HOSTILE, safe='')}")
        assert HOSTILE in tab.page.get_by_role("heading", level=1).inner_text()
    tab.go(f"#/drift/{quote(HOSTILE, safe='')}/v1")
    assert tab.page.evaluate("window.ran") is None


def test_a_cache_that_does_not_answer_is_said_and_recovered_from(tab, watched, without_redis):
    tab.tolerates.append("503")
    page = tab.go("#/serving", "Serving")
    with without_redis(watched):
        page.get_by_text("A part of the stack is down").wait_for()
        assert page.get_by_role("status").get_by_text("redis").is_visible()
    page.get_by_text("A part of the stack is down").wait_for(state="hidden")


def test_the_answers_of_the_page_are_json_of_the_public_api_alone(tab, watched):
    """What the page can do, a caller can do: every path it asks is in the document."""
    document = json.loads(watched.request("GET", "/openapi.json").data)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    for page in ("serving", "drift", "outcomes", "jobs", "lineage"):
        tab.go(f"#/{page}")
    paths = {url.removeprefix(tab.origin).partition("?")[0] for url in asked}
    assert {path for path in paths if not path.startswith("/console")} <= set(document["paths"])

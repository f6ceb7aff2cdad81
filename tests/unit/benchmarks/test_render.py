"""The page's summaries: what is slower is said, and a budget that does not hold is a no."""

from benchmarks.render import beside, budgets, contents


def result(name, title, cases, *, limit="limit", rows=1, notes=None, **fields):
    made = {
        case: {"median_us": us, "ratio": us / cases[limit] if limit in cases else us}
        for case, us in cases.items()
    }
    group = {"title": title, "limit": limit, "rows": rows, "cases": made, "notes": notes or {}}
    return {"name": name, "groups": [group | {"budgets": {}} | fields]}


def test_every_case_of_ours_stands_beside_every_product_and_a_loss_is_bold():
    cases = {"bare GET": 1.0, "NeuralStream": 10.0, "NeuralStream, columns": 4.0, "Feast": 8.0}
    lines = beside([result("peers_read", "read 1 × 20", cases)])
    assert [line for line in lines if "Feast" in line] == [
        "| read: read 1 × 20 | NeuralStream | Feast | **0.80** |",
        "| read: read 1 × 20 | NeuralStream, columns | Feast | 2 |",
    ]
    assert not any("bare GET" in line for line in lines)


def test_without_a_peer_there_is_no_such_table():
    assert beside([result("predict", "warm", {"NeuralStream": 1.0})]) == []


def test_budgets_of_ratios_rates_and_memory_say_whether_they_hold():
    ratio = result("predict", "warm", {"limit": 1.0, "ours": 2.25}, budgets={"ours": 1.9})
    rate = result("backfill", "one worker", {"NeuralStream, csv": 1e6}, rows=60_000)
    note = "1.0 CPU seconds, peak memory {} MB"
    cases = {"NeuralStream, per cell": 1.0, "polars join_asof, per row, sorted": 1.0}
    notes = dict(zip(cases, (note.format("1,106"), note.format("2,000")), strict=True))
    memory = result("training_set", "written: some", cases, notes=notes)
    lines = budgets([ratio, rate, memory])
    assert lines[4:-1] == [
        "| predict: warm: ours ∕ limit | 2.25 | ≤ 1.9 | **no** |",
        "| backfill: one worker, rows/s: NeuralStream, csv | 60,000 | ≥ 50,000 | yes |",
        "| training set: written: some: peak memory ∕ the smallest of pandas and polars"
        " | 0.55 | ≤ 0.5 | **no** |",
    ]


def test_the_links_of_the_contents_lead_to_the_headings():
    found = "\n".join(contents([{"name": "features_read"}, {"name": "peers_read"}]))
    assert "NeuralStream alone: [features read](#features-read)." in found
    assert "Beside other products: [peers read](#peers-read)." in found

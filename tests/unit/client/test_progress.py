"""Progress is a bar in the terminal, or a call of the caller's function."""

from __future__ import annotations

import httpx

from neuralstream_client import FeatureView, NeuralStream

VIEW = FeatureView.of({"name": "users", "entity": "id", "features": {"text": "string"}})


def stack(_request):
    return httpx.Response(200, json={"feature_view": "users", "written": 1, "stale": 0})


def write(progress):
    http = httpx.Client(transport=httpx.MockTransport(stack))
    with http, NeuralStream("http://stack", http=http) as ns:
        rows = [{"id": i, "text": "x" * 60_000} for i in range(90)]
        return ns.features.write(rows, view=VIEW, progress=progress)


def test_a_bar_names_the_view_and_ends_where_the_write_ended(capsys):
    report = write(True)
    assert report.requests > 1
    assert "writing users" in capsys.readouterr().out


def test_a_function_is_called_after_each_request():
    seen = []
    report = write(lambda done, total: seen.append((done, total)))
    assert seen == [(done, 90) for done in range(1, report.requests + 1)]
    assert report.rows == 90

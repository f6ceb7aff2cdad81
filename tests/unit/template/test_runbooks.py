"""docs/operations.md has a runbook for each alarm of the template, and none for an alarm that is gone."""

import json
import re

from neuralstream_lambda.logs import logger
from tests.support.template import ROOT, resources, template

PAGE = (ROOT / "docs" / "operations.md").read_text()
ALARMS = set(resources("AWS::CloudWatch::Alarm"))


def test_every_alarm_has_a_runbook_under_its_own_name():
    headings = set(re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE))
    rows = set(re.findall(r"^\| `(\w+ErrorsAlarm)` \|", PAGE, re.MULTILINE))
    assert ALARMS - headings - rows == set(), "an alarm without a runbook"
    assert (headings | rows) - ALARMS == set(), "a runbook for an alarm that does not exist"


def test_every_alarm_tells_somebody():
    for name, alarm in resources("AWS::CloudWatch::Alarm").items():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlertsTopic"}], name


def test_the_page_names_only_alarms_that_exist():
    named = set(re.findall(r"`(\w+Alarm)`", PAGE))
    assert named <= ALARMS


def fields(query):
    """The fields that a query of CloudWatch Logs Insights reads, without functions and literals."""
    words = re.sub(r'"[^"]*"|\b(?:count|max)\b', "", query)
    language = {"filter", "fields", "sort", "stats", "limit", "by", "in", "desc"}
    return {word for word in re.findall(r"[@a-z][\w.]*", words) if word not in language}


def test_the_queries_of_the_access_log_ask_for_what_it_holds():
    queries = re.findall(r"^\| [^|]+ \| `api` \| `(.*)` \|$", PAGE, re.MULTILINE)
    assert len(queries) == 3
    written = set(
        json.loads(template()["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"])
    )
    for query in queries:
        assert fields(query.replace("\\|", "|")) <= written, query


def test_the_query_of_a_functions_log_asks_for_what_a_failure_writes(capsys):
    (query,) = re.findall(r"--query-string '(.*)'", PAGE)
    log = logger("runbook-test")
    try:
        raise LookupError("gone")
    except LookupError:
        log.exception("not delivered")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["level"] == "ERROR"
    assert fields(query) - {"@timestamp"} <= set(line)

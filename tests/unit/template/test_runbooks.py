"""docs/operations.md has a runbook for each alarm of the template, and none for an alarm that is gone."""

import re

from tests.support.template import ROOT, resources

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

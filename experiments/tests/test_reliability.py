"""A report of pytest becomes a record and a table."""

from experiments import reliability
from experiments.runner.record import read_record

REPORT = """<?xml version="1.0"?><testsuites><testsuite errors="0" failures="1" skipped="2"
tests="3" time="1.5"><testcase name="a"><properties><property name="moments killed: permuting"
value="3"/><property name="moments killed: permuting" value="4"/></properties></testcase>
<testcase name="b"><properties><property name="damaged files: records" value="1"/></properties>
</testcase></testsuite></testsuites>"""


def test_a_report_becomes_a_record_and_a_table(tmp_path, capsys):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    reliability.main((report,), tmp_path)
    record = read_record(tmp_path / "reliability.json")
    assert record["tried"] == {"moments killed": {"permuting": 7}, "damaged files": {"records": 1}}
    assert (record["tests"], record["failed"], record["skipped"]) == (3, 1, 2)
    output = capsys.readouterr().out
    assert "| moments killed | permuting | 7 |" in output
    assert "| tests | all | 3, of which 1 failed and 2 were skipped |" in output

"""Result lines with rounded scores."""

from lengthwise.kinds import result_line
from lengthwise.kinds.kind import TextItem

OUTPUT = {"flagged": True, "categories": {"a": True}, "scores": {"a": 0.99951234, "b": 1.2e-07}, "spans": {"a": [0, 9]}}


def line(item: TextItem, output: dict[str, object]) -> bytes:
    return result_line.succeeded(0, item, output, 1, 0, b'"r"')


def test_scores_are_rounded_and_nothing_else() -> None:
    item = TextItem(text="x", id='"output":{"scores":{', metadata={"scores": {"a": 0.123456}, "output": OUTPUT})
    lines = line(item, OUTPUT) + line(TextItem(text="y"), {"text": "scores"})
    rounded = {"a": 1.0, "b": 0.0}
    assert result_line.rounded(lines, 3) == line(item, OUTPUT | {"scores": rounded}) + line(
        TextItem(text="y"), {"text": "scores"}
    )


def test_lines_without_scores_stay() -> None:
    lines = (
        result_line.failed(0, TextItem(text="x", metadata={"scores": {"a": 0.123456}}), "too_long")
        + line(TextItem(text="x"), {"scores": {"a": None, "b": 3}})
        + line(TextItem(text="x"), {"scores": {}})
    )
    assert result_line.rounded(lines, 1) == lines

"""A table of two invented questions with Video-MME's columns, written as its download is: by pyarrow, packed with snappy.

Needs pyarrow alone, so that nothing else has to be installed for it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "videomme_table"
NAME = "test-00000-of-00001.parquet"
TEXTS = [
    "video_id", "duration", "domain", "sub_category", "url", "videoID", "question_id", "task_type", "question", "answer",
]


def row(number, **more):
    texts = {name: f"{name} {number}" for name in TEXTS}
    return texts | {"duration": "short", "options": [f"{letter}. option {number}" for letter in "ABCD"]} | more


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([pa.field(name, pa.string()) for name in TEXTS])
    schema = schema.insert(9, pa.field("options", pa.list_(pa.string())))
    rows = [
        row(1, question_id="001-1", videoID="abc", question="Wie heißt sie?", answer="C"),
        row(2, question_id="001-2", videoID="abc", url=None, answer="A"),
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), FOLDER / NAME, compression="snappy")
    (FOLDER / "README.md").write_text(
        "# Video-MME's table\n\nTwo invented questions with the columns of the download.\n\n"
        f"- Recorded by `scripts/goldens/record videomme_table`, pyarrow {pa.__version__}.\n"
        "- Equal in all columns that are read.\n"
    )


main()

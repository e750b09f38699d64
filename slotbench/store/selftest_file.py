"""A self-test's record as one JSON file: written as it is read back, or one line says what is damaged."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench.records import SELFTEST_SCHEMA_VERSION, SelfTest
from slotbench.store._files import encode
from slotbench.store._reading import check_schema, parse_json, read_bytes, validate

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def selftest_bytes(record: SelfTest) -> bytes:
    """Give the file's text, for `slotbench.store.output.write_file`.

    Raises:
        RecordError: a number is NaN or infinite.
    """
    return encode(record, indent=1)


def read_selftest(path: str | Path) -> SelfTest:
    """Read what `selftest_bytes` gave.

    Raises:
        RecordError: it is no self-test, is damaged, or of an unknown schema version.
    """
    file = Path(path)
    text = read_bytes(file)
    check_schema(parse_json(text, str(file)), file, SELFTEST_SCHEMA_VERSION)
    return validate(_adapter(), text, str(file))


@cache
def _adapter() -> "TypeAdapter[SelfTest]":
    from pydantic import TypeAdapter

    return TypeAdapter(SelfTest)

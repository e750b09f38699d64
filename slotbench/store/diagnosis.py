"""A diagnosis as JSON: written whole, read back."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench.records import DIAGNOSIS_SCHEMA_VERSION, Diagnosis
from slotbench.store._files import encode
from slotbench.store._reading import check_schema, parse_json, read_bytes, validate

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def to_json(diagnosis: Diagnosis) -> str:
    """Give its JSON text, fields as in `slotbench.records.Diagnosis`, ending in a line feed.

    Raises:
        RecordError: a number is NaN or infinite: a defect of what made it.
    """
    return encode(diagnosis, indent=1).decode("utf-8")


def read_diagnosis(path: str | Path) -> Diagnosis:
    """Read what ``slotbench doctor --json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    file = Path(path)
    text = read_bytes(file)
    check_schema(parse_json(text, str(file)), file, DIAGNOSIS_SCHEMA_VERSION)
    return validate(_adapter(), text, str(file))


@cache
def _adapter() -> "TypeAdapter[Diagnosis]":
    from pydantic import TypeAdapter

    return TypeAdapter(Diagnosis)

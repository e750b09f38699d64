"""What all tables of a scenario share: strict checks, and the way to their records."""

import dataclasses
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A TOML table that becomes the record of the same fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
    record: ClassVar[Any]

    def to_record(self) -> Any:
        """Builds the record; arrays become tuples, tables become their records."""
        names = [field.name for field in dataclasses.fields(self.record)]
        return self.record(**{name: _plain(getattr(self, name)) for name in names})


def _plain(value: Any) -> Any:
    if isinstance(value, Table):
        return value.to_record()
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def field_names(table: type[BaseModel], prefix: str = "") -> dict[str, bool]:
    """Dotted field name → whether it is a table of fields, for all that a table holds."""
    names: dict[str, bool] = {}
    for name, field in table.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(kind, type) and issubclass(kind, Table)
        ]
        names[prefix + name] = bool(inner)
        for kind in inner:
            names |= field_names(kind, f"{prefix}{name}.")
    return names

"""Types of the user's own columns: which of them Arrow must be helped with, so that each comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
_LISTS: dict[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]] = {
    pa.types.is_list: pa.list_,
    pa.types.is_large_list: pa.large_list,
    pa.types.is_list_view: pa.list_view,
    pa.types.is_large_list_view: pa.large_list_view,
}


def without_views(schema: pa.Schema) -> pa.Schema:
    """Return a schema with plain texts and bytes in the place of views, however deep: Arrow takes no rows of those.

    >>> without_views(pa.schema({"tags": pa.list_(pa.string_view())})).field("tags").type
    ListType(list<item: string>)
    """
    return pa.schema([_changed(field, _plain) for field in schema])


def recast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table in a schema with the same names; what is of its type already stays as it is.

    Raises
    ------
    pyarrow.ArrowException
        If Arrow knows no way from one type to the other.
    """
    pairs = zip(table.columns, schema, strict=True)
    columns = [column if column.type == field.type else column.cast(field.type) for column, field in pairs]
    return pa.table(columns, schema=schema)


def fitted(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return tables whose columns may be null, however deep, where they are not in all tables, or of another type.

    Arrow joins tables that differ so, but would leave a column its promise never to be null.
    """
    schemas = [table.schema for table in tables]
    names = {name for schema in schemas for name in schema.names}
    differing = {name for name in names if len({_field(schema, name) for schema in schemas}) > 1}
    return [recast(table, pa.schema([_relaxed(field, differing) for field in table.schema])) for table in tables]


def rounded(tables: Sequence[pa.Table], joined: pa.Schema) -> str | None:
    """Return a column of which joining the tables has made floating-point numbers of decimal ones; None if none."""
    fields = (field for table in tables for field in table.schema)
    return next((field.name for field in fields if _decimals(field) > _decimals(joined.field(field.name))), None)


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(_PLAIN.get(field.type, field.type))


def _relaxed(field: pa.Field, differing: set[str]) -> pa.Field:
    return _changed(field, lambda one: one.with_nullable(True)) if field.name in differing else field


def _field(schema: pa.Schema, name: str) -> pa.Field | None:
    return schema.field(name) if name in schema.names else None


def _decimals(field: pa.Field) -> int:
    """Return how many decimal numbers a field is made of."""
    count = 0

    def look(one: pa.Field) -> pa.Field:
        nonlocal count
        count += pa.types.is_decimal(one.type)
        return one

    _changed(field, look)
    return count


def _changed(field: pa.Field, change: Callable[[pa.Field], pa.Field]) -> pa.Field:
    """Return a field with a change made to it and to all fields within it."""
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_changed(kind.field(index), change) for index in range(kind.num_fields)])
    elif pa.types.is_map(kind):
        key = _changed(kind.key_field, change).with_nullable(False)
        kind = pa.map_(key, _changed(kind.item_field, change), keys_sorted=kind.keys_sorted)
    elif pa.types.is_fixed_size_list(kind):
        kind = pa.list_(_changed(kind.value_field, change), kind.list_size)
    else:
        for is_one, made in _LISTS.items():
            if is_one(kind):
                kind = made(_changed(kind.value_field, change))
                break
    return change(field.with_type(kind))

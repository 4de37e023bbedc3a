"""Reads Parquet tables with DuckDB and says whether they hold what they must: an independent judge of what `kanat sync` wrote.

usage: duck_check.py readable TABLE
           every *.parquet file below the folder TABLE can be opened and read to its last row
       duck_check.py holds TABLE [--offsets FILE] [--rows COUNT] [--ids COUNT] [--where-none SQL]...
           --offsets     FILE has a line "partition offset" for every record: the table has exactly these, each once
           --rows        it has COUNT rows, no two of the same partition and offset
           --ids         the column `id` takes each value of 0..COUNT once
           --where-none  no row satisfies the condition
       duck_check.py query TABLE SQL
           prints the rows of SQL, which names the table `t`, as JSON lines
       duck_check.py files TABLE...
           prints one JSON line per table: a list of its files, each with its columns and rows, every value as text

The table may be in either layout: the raw one is recognised by its `data` column and its Kafka columns and `id` are taken
from there. Exit code 0 and one line of figures, or 1 and what is wrong.
"""

import argparse
import glob
import json
import sys

import duckdb


def parquet_files(table):
    return sorted(glob.glob(table + "/**/*.parquet", recursive=True))


def open_table(table):
    """A connection with the view `t` over all files of the table."""
    files = parquet_files(table)
    if not files:
        sys.exit(f"{table} holds no parquet file")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    source = connection.read_parquet(files, union_by_name=True, hive_partitioning=False)
    source.create_view("files")
    if "_kafka_offset" in source.columns:
        connection.execute("CREATE VIEW t AS FROM files")
    else:
        connection.execute(
            """CREATE VIEW t AS SELECT *,
                   CAST(data->>'_kafka_partition' AS INTEGER) AS _kafka_partition,
                   CAST(data->>'_kafka_offset' AS BIGINT) AS _kafka_offset,
                   CAST(data->>'id' AS BIGINT) AS id
               FROM files"""
        )
    return connection, files


def count(connection, sql):
    return connection.execute(f"SELECT count(*) FROM ({sql})").fetchone()[0]


def check_offsets(connection, path):
    connection.execute(
        """CREATE TABLE expected AS
           FROM read_csv(?, delim=' ', header=false, columns={'p': 'INTEGER', 'o': 'BIGINT'})""",
        [path],
    )
    connection.execute("CREATE TABLE got AS SELECT _kafka_partition AS p, _kafka_offset AS o FROM t")
    problems = []
    for what, sql in [
        ("lost", "(SELECT p, o FROM expected) EXCEPT (SELECT p, o FROM got)"),
        ("never written to the topic", "(SELECT p, o FROM got) EXCEPT (SELECT p, o FROM expected)"),
        ("doubled", "SELECT p, o FROM got GROUP BY ALL HAVING count(*) > 1"),
    ]:
        found = count(connection, sql)
        if found:
            first = connection.execute(f"SELECT p, o FROM ({sql}) ORDER BY p, o LIMIT 3").fetchall()
            problems.append(f"{found} records {what}, first (partition, offset) {first}")
    return problems


def check_rows(connection, wanted):
    rows, distinct = connection.execute(
        "SELECT count(*), count(DISTINCT (_kafka_partition, _kafka_offset)) FROM t"
    ).fetchone()
    if (rows, distinct) == (wanted, wanted):
        return []
    return [f"expected {wanted} rows, found {rows} with {distinct} distinct (partition, offset) pairs"]


def check_ids(connection, ids):
    rows, distinct, low, high = connection.execute("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t").fetchone()
    if (rows, distinct, low, high) == (ids, ids, 0, ids - 1):
        return []
    return [f"expected ids 0..{ids} once each, found {rows} rows with {distinct} distinct ids between {low} and {high}"]


def readable(arguments):
    rows = 0
    for path in parquet_files(arguments.table):
        try:
            # A hash of every column makes the reader decode every page.
            rows += duckdb.execute("SELECT count(*), bit_xor(hash(COLUMNS(*)::VARCHAR)) FROM read_parquet(?)", [path]).fetchone()[0]
        except duckdb.Error as error:
            sys.exit(f"{path} cannot be read: {error}")
    print(f"{rows} rows in {len(parquet_files(arguments.table))} files")


def holds(arguments):
    connection, files = open_table(arguments.table)
    problems = []
    if arguments.offsets:
        problems += check_offsets(connection, arguments.offsets)
    if arguments.rows is not None:
        problems += check_rows(connection, arguments.rows)
    if arguments.ids is not None:
        problems += check_ids(connection, arguments.ids)
    for condition in arguments.where_none:
        found = count(connection, f"FROM t WHERE {condition}")
        if found:
            problems.append(f"{found} rows where {condition}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{count(connection, 'FROM t')} rows in {len(files)} files")


def query(arguments):
    connection, _ = open_table(arguments.table)
    result = connection.execute(arguments.sql)
    names = [column[0] for column in result.description]
    for row in result.fetchall():
        print(json.dumps(dict(zip(names, row)), default=str))


def read_as_text(connection, path):
    described = connection.execute("DESCRIBE FROM read_parquet(?)", [path]).fetchall()
    columns = {name: kind for name, kind, *_ in described}
    shown = ", ".join('"%s"::VARCHAR' % name.replace('"', '""') for name in columns)
    rows = connection.execute(f"SELECT {shown} FROM read_parquet(?, file_row_number=true) ORDER BY file_row_number", [path])
    return {"columns": columns, "rows": rows.fetchall()}


def files(arguments):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in [arguments.table, *arguments.tables]:
        print(json.dumps([read_as_text(connection, path) for path in parquet_files(table)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for name, run in [("readable", readable), ("holds", holds), ("query", query), ("files", files)]:
        verb = verbs.add_parser(name)
        verb.add_argument("table")
        verb.set_defaults(run=run)
        if name == "holds":
            verb.add_argument("--offsets")
            verb.add_argument("--rows", type=int)
            verb.add_argument("--ids", type=int)
            verb.add_argument("--where-none", action="append", default=[])
        if name == "files":
            verb.add_argument("tables", nargs="*")
        if name == "query":
            verb.add_argument("sql")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()

"""Records what OLake makes of odd records, as golden files beside this script.

usage: OLAKE_BIN=/path/to/its/kafka/driver tests/peers/python.sh tests/golden/olake/record.py BOOTSTRAP [CASE]...

Every case is one topic with one partition. The golden file holds the records, the columns that `discover` found, and for both
layouts the Parquet files that `sync` left, each with its columns and rows as DuckDB reads them, every value cast to text.
Columns that differ from run to run (`_olake_timestamp`) are left out. README.md beside this file says how kanat is held to it.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile
import time

import duckdb
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = os.path.dirname(os.path.abspath(__file__))
FIRST_TIMESTAMP_MS = 1_700_000_000_123
VOLATILE = {"_olake_timestamp"}


def values(*literals):
    """One record per literal, each in a column of its own: v0, v1, ..."""
    return [b'{"v%d":%s}' % (index, literal.encode()) for index, literal in enumerate(literals)]


def column(*literals):
    """One record per literal, all in the column `a`."""
    return [b'{"a":%s}' % literal.encode() for literal in literals]


DATES = [
    "2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05+0000",
    "2024-01-02T03:04:05.1Z", "2024-01-02T03:04:05.123Z", "2024-01-02T03:04:05.5+0000", "2024-01-02 03:04:05.123",
    "2024-01-02T03:04:05.123456Z", "2024-01-02 03:04:05.123456+00", "2024-01-02 03:04:05.999999-07",
    "2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05+02:00", "2024-01-02 03:04:05 -07:00",
    "2024-01-02 03:04:05-07:00", "2024-01-02 03:04:05 -0700 MST", "2024-01-02-15.04.05.000000", "0000-01-01", "0001-01-01",
    "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z", "2024-01-02 03:04:05 +0200", "2024-02-30", "2024-13-01",
    "0000-00-00", "10000-01-01", "12/31/2024", "20240102", "2024-1-2", "2024-01-02T", "2024-01-02T03:04",
    "2024-01-02T25:00:00Z", "2024-01-02T23:59:60Z", "2024-01-02 notes", " 2024-01-02", "2024-01-02 ",
    "2024-01-02t03:04:05z", "2024-W01-1", "03:04:05", "1700000000", "Jan 2, 2024",
]  # fmt: skip

# name -> (records at discovery, records that come before the sync); a record is a value or a (key, value) pair
CASES = {
    "whole_records": (
        [
            b'{"id":0}', None, b"", b"null", b"not json", b"[1,2,3]", b'"str"', b"42", b"true", b'{"id":6,',
            b'\xef\xbb\xbf{"id":7}', b"{id:18}", b"{'id':19}", b'{"id":20,}', b'{"id":NaN}',
            b'{"id":2,"name":"trailing"} garbage', b'{"id":3}{"id":4}', b'  {"id":5}\n', b"{}",
            b'{"id":8,"name":"a\xff\xfeb"}', b'{"id":9,"name":"\\ud800"}', b'{"id":10,"name":"a\\u0000b"}',
            b'\x00\x00\x00\x00\x01{"id":17}', b'{"id":11,"id":12}', b'{"id":13,"name":"<a href=\'x\'>&</a>"}',
        ],
        [],
    ),
    "keys": (
        [
            (None, b'{"id":0}'), (b"", b'{"id":1}'), (b"plain", b'{"id":2}'), (b'{"b":1,"a":"x"}', b'{"id":3}'),
            (b'{"z":1.0,"y":1e3,"t":"<&>"}', b'{"id":4}'), (b"[1,2]", b'{"id":5}'), (b"5", b'{"id":6}'),
            (b'"quoted"', b'{"id":7}'), (b"{broken", b'{"id":8}'),
        ],
        [],
    ),
    "binary_key": ([(b"\xff\xfe", b'{"id":0}'), (b"ok", b'{"id":1}')], []),
    "only_undecodable": ([None, b"not json", b"[1]"], []),
    "numbers": (
        values(
            "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615",
            "-9223372036854775809", "1.0", "1e3", "-0.0", "-0", "1e-400", "0.1000000000000000055",
            "123456789012345678901234567890.123", "1.5", "0", "1E+2",
        ),
        [],
    ),
    "number_out_of_range": (column("1.5", "1e400", "2.5"), []),
    "integer_beside_decimal": (column("9007199254740993", "1.5"), []),
    "integer_beside_string": (column("1", '"3"'), []),
    "decimals_beside_string": (column("1.5", "2", "1.50", "1e3", '"x"'), []),
    "integer_decimal_boolean": (column("1", "1.5", "true"), []),
    "boolean_beside_integer": (column("true", "5", "0"), []),
    "boolean_beside_string": (column("true", '"yes"', "false"), []),
    "nested": (
        values('{"b":1,"a":{"c":[1,2,{"d":null}]}}', '[1,"x",null,1.50]', "{}", "[]", '{"t":"<&>"}', "null", '"<&>"'),
        [],
    ),
    "nested_beside_scalar": (column('{"k":1}', '"s"', "[1]", "7", "1.50", "true", "null"), []),
    "dates": ([json.dumps({"d%02d" % index: text for index, text in enumerate(DATES)}).encode()], []),
    "date_precisions": (column('"2024-01-02"', '"2024-01-02T03:04:05.5Z"', '"2024-01-02T03:04:05.123456Z"'), []),
    "names": (
        [
            json.dumps(
                {
                    "with space": 1, "dot.ted": 2, "da-sh": 3, "a$b": 4, "héllo": 5, "名前": 6, "😀": 7, "1st": 8, "_lead": 9,
                    "__x": 10, "data": 11, "select": 12, "Mixed": 13, "é": 14,
                },
                ensure_ascii=False,
            ).encode()
        ],
        [],
    ),
    "names_that_collide": ([b'{"Upper":1,"upper":2,"UPPER":3,"a b":7,"a_b":8,"A_B":9,"a$b":18}'], []),
    "name_empty": ([b'{"":1,"b":2}'], []),
    "names_of_metadata": (
        [b'{"id":1,"_kafka_key":"mine","_kafka_offset":77,"_olake_id":"mine","_op_type":"x","_cdc_timestamp":"mine"}'], [],
    ),
    "later_decimal": (column("1"), column("2.5", "3")),
    "later_string": (column("1"), column('"str"', '"7"')),
    "later_above_i64": (column("1"), column("9223372036854775808")),
    "later_boolean_to_string": (column("true"), column("1", '"true"')),
    "later_not_a_date": (
        column('"2024-01-02"'),
        column('"2024-13-45"', '"2024-02-30T00:00:00Z"', '"2024-01-02T03:04:05.5Z"', '""', '"free text"'),
    ),
    "later_number_in_dates": (column('"2024-01-02"'), column("1700000000", "1700000000000", "1.5", "true")),
    "later_scalar_in_objects": (column('{"k":1}'), column('"s"', "[1]", "5", "1.50", "true")),
    "later_columns": (column("1"), [b'{"a":2,"b":3,"c":1.5,"d":"2024-01-02"}', b'{"a":3,"B":5}']),
    "later_all_kinds": (
        [b'{"a":1,"f":1.5,"s":"x"}'],
        [
            b'{"a":"12","f":"2.5","s":5}', b'{"a":" 7","f":3,"s":{"k":1}}', b'{"a":1.0,"f":9007199254740993,"s":[1,2]}',
            b'{"a":true,"f":true,"s":1e3}',
        ],
    ),
}  # fmt: skip


def produce(bootstrap, topic, records, first):
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for index, record in enumerate(records, first):
        key, value = record if isinstance(record, tuple) else (None, record)
        producer.produce(topic, value=value, key=key, partition=0, timestamp=FIRST_TIMESTAMP_MS + index * 877)
    producer.flush()


def olake(folder, verb, *arguments):
    environment = dict(os.environ, TELEMETRY_DISABLED="true")
    command = [os.environ["OLAKE_BIN"], verb, "--config", folder + "/source.json", *arguments]
    run = subprocess.run(command, capture_output=True, env=environment, cwd=folder)
    return run.returncode


def read_files(connection, folder):
    found = []
    for path in sorted(glob.glob(folder + "/**/*.parquet", recursive=True)):
        try:
            described = connection.execute("DESCRIBE FROM read_parquet(?)", [path]).fetchall()
            columns = [(name, kind) for name, kind, *_ in described if name not in VOLATILE]
            shown = ", ".join('"%s"::VARCHAR' % name.replace('"', '""') for name, _ in columns)
            rows = connection.execute(f"SELECT {shown} FROM read_parquet(?, file_row_number=true) ORDER BY file_row_number", [path])
            found.append({"columns": dict(columns), "rows": rows.fetchall()})
        except duckdb.Error as error:
            found.append({"unreadable": str(error).splitlines()[0].replace(path, "FILE")})
    return found


def discovered(folder):
    with open(folder + "/streams.json") as file:
        catalog = json.load(file)
    properties = catalog["streams"][0]["stream"]["type_schema"]["properties"]
    for schema in properties.values():
        schema["type"].sort()
    return catalog, properties


def bytes_as_json(data):
    if data is None:
        return None
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"hex": data.hex()}


def record_as_json(record):
    key, value = record if isinstance(record, tuple) else (None, record)
    return {"key": bytes_as_json(key), "value": bytes_as_json(value)}


def run_case(connection, bootstrap, name, at_discovery, later):
    topic = f"golden-{name.replace('_', '-')}-{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    settings = {"retention.ms": "-1"}
    admin.create_topics([NewTopic(topic, 1, config=settings)])[topic].result()
    produce(bootstrap, topic, at_discovery, 0)
    with tempfile.TemporaryDirectory() as folder:
        source = {
            "bootstrap_servers": bootstrap, "protocol": {"security_protocol": "PLAINTEXT"}, "max_threads": 1,
            "topic_pattern": f"^{topic}$", "backoff_retry_count": 1,
        }  # fmt: skip
        write_json(folder + "/source.json", source)
        olake(folder, "discover")
        catalog, properties = discovered(folder)
        produce(bootstrap, topic, later, len(at_discovery))
        layouts = {}
        for layout, options in [("normalized", []), ("normalized_unbuffered", ["--destination-buffer-size", "1"]), ("raw", [])]:
            if layout == "normalized_unbuffered" and not later:
                continue
            catalog["selected_streams"]["topics"][0]["normalization"] = layout != "raw"
            tables = f"{folder}/{layout}"
            write_json(folder + "/streams.json", catalog)
            write_json(folder + "/destination.json", {"type": "PARQUET", "writer": {"local_path": tables}})
            files = ["--streams", folder + "/streams.json", "--destination", folder + "/destination.json"]
            # No state file is given, so that each layout reads the topic from its beginning in a group of its own.
            code = olake(folder, "sync", *files, *options)
            layouts[layout] = {"exit_code": code, "files": read_files(connection, tables)}
            time.sleep(1.1)  # the generated group's name has a resolution of a second
    return {
        "first_timestamp_ms": FIRST_TIMESTAMP_MS,
        "timestamp_step_ms": 877,
        "at_discovery": [record_as_json(record) for record in at_discovery],
        "later": [record_as_json(record) for record in later],
        "discovered": properties,
        "synced": layouts,
    }


def indented(value, indent=""):
    """JSON in which what is short or holds only scalars stays on one line, so that a changed row is one changed line."""
    text = json.dumps(value, ensure_ascii=False)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    if len(text) <= 160 or not any(isinstance(item, (dict, list, tuple)) for item in items):
        return text
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key, ensure_ascii=False)}: {indented(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent + "}"
    return "[\n" + ",\n".join(inner + indented(item, inner) for item in value) + "\n" + indent + "]"


def write_json(path, content):
    with open(path, "w") as file:
        json.dump(content, file, ensure_ascii=False)


def main():
    bootstrap, names = sys.argv[1], sys.argv[2:] or list(CASES)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name in names:
        golden = run_case(connection, bootstrap, name, *CASES[name])
        with open(f"{HERE}/{name}.json", "w") as file:
            file.write(indented(golden) + "\n")
        codes = [layout["exit_code"] for layout in golden["synced"].values()]
        print(name, "exit codes", codes, flush=True)


if __name__ == "__main__":
    main()

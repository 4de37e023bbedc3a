"""Writes and reads records with librdkafka.

usage: tests/peers/python.sh tests/peers/librdkafka.py write BOOTSTRAP TOPIC < RECORDS
       tests/peers/python.sh tests/peers/librdkafka.py read BOOTSTRAP TOPIC PARTITION COUNT

Records are in the form of tests/peers/java/Write.java and Dump.java, one JSON object a line: keys, values and headers are
hexadecimal or null. `write` prints the offset of each record, `read` a JSON object with the list "records".
"""

import json
import sys
import time

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, Producer, TopicPartition

PATIENCE_S = 60


def unhex(text):
    return None if text is None else bytes.fromhex(text)


def hexed(data):
    return None if data is None else bytes(data).hex()


def write(bootstrap, topic):
    offsets = []

    def delivered(error, message):
        if error is not None:
            sys.exit(f"not delivered: {error}")
        offsets.append(message.offset())

    producers, before = {}, None
    for record in map(json.loads, sys.stdin):
        codec = record["codec"]
        # What follows in another codec must not overtake what is still lingering.
        if before not in (None, codec):
            producers[before].flush(PATIENCE_S)
        before = codec
        if codec not in producers:
            producers[codec] = Producer(
                {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50, "enable.idempotence": True}
            )
        producers[codec].produce(
            topic,
            partition=record["partition"],
            timestamp=record["timestamp"],
            key=unhex(record["key"]),
            value=unhex(record["value"]),
            headers=[(unhex(key).decode(), unhex(value)) for key, value in record["headers"]],
            on_delivery=delivered,
        )
    for producer in producers.values():
        if producer.flush(PATIENCE_S):
            sys.exit("records were not delivered in time")
    print("\n".join(map(str, offsets)))


def read(bootstrap, topic, partition, count):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "librdkafka.py", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0)])
    records, deadline = [], time.monotonic() + PATIENCE_S
    while len(records) < count:
        if time.monotonic() > deadline:
            sys.exit(f"{len(records)} of {count} records came in {PATIENCE_S} s")
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            sys.exit(f"not read: {message.error()}")
        kind, timestamp = message.timestamp()
        records.append(
            {
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp": timestamp,
                "timestamp_type": "LogAppendTime" if kind == TIMESTAMP_LOG_APPEND_TIME else "CreateTime",
                "key": hexed(message.key()),
                "value": hexed(message.value()),
                "headers": [[key.encode().hex(), hexed(value)] for key, value in message.headers() or []],
            }
        )
    consumer.close()
    json.dump({"records": records}, sys.stdout)


if __name__ == "__main__":
    verb, bootstrap, topic, *rest = sys.argv[1:]
    if verb == "write":
        write(bootstrap, topic)
    else:
        read(bootstrap, topic, int(rest[0]), int(rest[1]))

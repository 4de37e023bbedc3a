"""Puts the records of the golden files into topics, one topic PREFIX-CASE with one partition for each.

usage: tests/peers/python.sh tests/golden/olake/produce.py BOOTSTRAP PREFIX at_discovery|later
"""

import glob
import json
import os
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = os.path.dirname(os.path.abspath(__file__))


def as_bytes(data):
    if data is None:
        return None
    return data["text"].encode() if "text" in data else bytes.fromhex(data["hex"])


def main():
    bootstrap, prefix, stage = sys.argv[1:]
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for path in sorted(glob.glob(HERE + "/*.json")):
        topic = f"{prefix}-{os.path.basename(path)[:-5].replace('_', '-')}"
        with open(path) as file:
            golden = json.load(file)
        first = 0
        if stage == "at_discovery":
            admin.create_topics([NewTopic(topic, 1, config={"retention.ms": "-1"})])[topic].result()
        else:
            first = len(golden["at_discovery"])
        for index, record in enumerate(golden[stage], first):
            timestamp = golden["first_timestamp_ms"] + index * golden["timestamp_step_ms"]
            key, value = as_bytes(record["key"]), as_bytes(record["value"])
            producer.produce(topic, key=key, value=value, partition=0, timestamp=timestamp)
    left = producer.flush(30)
    if left:
        sys.exit(f"{left} records were not delivered")


if __name__ == "__main__":
    main()

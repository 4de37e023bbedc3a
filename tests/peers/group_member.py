"""A member of a group with librdkafka until it reads something.

usage: tests/peers/python.sh tests/peers/group_member.py BOOTSTRAP GROUP TOPIC PROTOCOL [STRATEGY]

Prints "takes PARTITION..." and "gives PARTITION..." as its assignment changes and "read PARTITION OFFSET" for every
record; commits after every record.
"""

import select
import sys

from confluent_kafka import Consumer, KafkaException

bootstrap, group, topic, protocol, *strategy = sys.argv[1:]
configs = {
    "bootstrap.servers": bootstrap,
    "group.id": group,
    "group.protocol": protocol,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
}
if strategy:
    configs["partition.assignment.strategy"] = strategy[0]
    configs["session.timeout.ms"] = 6000
    configs["heartbeat.interval.ms"] = 200


def say(word):
    return lambda _, partitions: print(word, *(p.partition for p in partitions), flush=True)


consumer = Consumer(configs)
consumer.subscribe([topic], on_assign=say("takes"), on_revoke=say("gives"), on_lost=say("gives"))
while not select.select([sys.stdin], [], [], 0)[0]:
    message = consumer.poll(0.1)
    if message is None:
        continue
    if message.error():
        print(message.error(), file=sys.stderr)
        continue
    print("read", message.partition(), message.offset(), flush=True)
    try:
        consumer.commit(message, asynchronous=False)
    except KafkaException as error:
        print(error, file=sys.stderr)
consumer.close()

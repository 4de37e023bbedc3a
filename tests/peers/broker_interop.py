"""Drives the embedded broker with clients that were not written for it.

usage: tests/peers/python.sh tests/peers/broker_interop.py BOOTSTRAP
       tests/peers/python.sh tests/peers/broker_interop.py --serve target/debug/examples/serve

Runs Kafka's Java tools and librdkafka (confluent-kafka) against the broker at BOOTSTRAP and checks what they print.
With --serve it starts that program itself (cargo build -p kanat-broker --example serve), three nodes on a directory,
and also kills a broker with SIGKILL under load to see that every acknowledged record is still there.
Every topic and group has a name of its own, so it can run again on the same broker. Exits 1 at the first surprise.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

CACHE = os.environ.get("KANAT_PEERS_CACHE", os.path.expanduser("~/.cache/kanat-peers"))
LIBS = os.path.join(CACHE, "kafka-4.2.0", "libs", "*")
TOOL_TIMEOUT_S = 90
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

BOOTSTRAP = ""
RUN = uuid.uuid4().hex[:8]


def java(tool, *arguments, stdin="", expect_failure=False):
    """Runs one of Kafka's tools and returns what it printed."""
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=ERROR", "-cp", LIBS]
    command += [f"org.apache.kafka.tools.{tool}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S)
    output = done.stdout + done.stderr
    if (done.returncode != 0) != expect_failure:
        raise AssertionError(f"{tool} {' '.join(arguments)} ended with {done.returncode}:\n{output}")
    return output


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def topics_and_configs():
    topic = f"tools-{RUN}"
    server = ["--bootstrap-server", BOOTSTRAP]
    java("TopicCommand", *server, "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=3600000")
    again = java("TopicCommand", *server, "--create", "--topic", topic, expect_failure=True)
    expect("already exists" in again, again)
    expect(topic in java("TopicCommand", *server, "--list").split(), "the topic is not listed")
    described = java("TopicCommand", *server, "--describe", "--topic", topic)
    expect("PartitionCount: 3" in described and "retention.ms=3600000" in described, described)
    java("TopicCommand", *server, "--alter", "--topic", topic, "--partitions", "5")
    expect("PartitionCount: 5" in java("TopicCommand", *server, "--describe", "--topic", topic), "did not grow")
    config = [*server, "--entity-type", "topics", "--entity-name", topic]
    java_kafka("kafka.admin.ConfigCommand", *config, "--alter", "--add-config", "max.message.bytes=4096")
    shown = java_kafka("kafka.admin.ConfigCommand", *config, "--describe")
    expect("max.message.bytes=4096" in shown, shown)
    java_kafka("kafka.admin.ConfigCommand", *config, "--alter", "--delete-config", "max.message.bytes")
    wrong = java_kafka(
        "kafka.admin.ConfigCommand", *config, "--alter", "--add-config", "retention.ms=soon", expect_failure=True
    )
    expect("retention.ms" in wrong, wrong)
    java("TopicCommand", *server, "--delete", "--topic", topic)
    expect(topic not in java("TopicCommand", *server, "--list").split(), "the topic is still listed")


def java_kafka(main, *arguments, expect_failure=False):
    """Runs a tool that lives outside of the tools package."""
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=ERROR", "-cp", LIBS]
    done = subprocess.run([*command, main, *arguments], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S)
    output = done.stdout + done.stderr
    if (done.returncode != 0) != expect_failure:
        raise AssertionError(f"{main} {' '.join(arguments)} ended with {done.returncode}:\n{output}")
    return output


def controller():
    """What Kafka's tools see and change of the cluster itself."""
    server = ["--bootstrap-server", BOOTSTRAP]
    quorum = java("MetadataQuorumCommand", *server, "describe", "--status")
    expect("LeaderId:" in quorum and "CurrentVoters:" in quorum, quorum)
    replicas = java("MetadataQuorumCommand", *server, "describe", "--replication")
    expect("Leader" in replicas, replicas)
    features = java("FeatureCommand", *server, "describe")
    expect("transaction.version" in features and "metadata.version" in features, features)
    java("FeatureCommand", *server, "downgrade", "--feature", "transaction.version=1")
    lower = java("FeatureCommand", *server, "describe")
    expect(any("transaction.version" in line and "FinalizedVersionLevel: 1" in line for line in lower.splitlines()), lower)
    refused = java("FeatureCommand", *server, "upgrade", "--feature", "transaction.version=9", expect_failure=True)
    expect("transaction.version" in refused, refused)
    java("FeatureCommand", *server, "upgrade", "--feature", "transaction.version=2")

    nodes = [*server, "--entity-type", "brokers", "--entity-default"]
    java_kafka("kafka.admin.ConfigCommand", *nodes, "--alter", "--add-config", "log.retention.ms=123456")
    described = java_kafka("kafka.admin.ConfigCommand", *nodes, "--describe")
    expect("log.retention.ms=123456" in described, described)
    java_kafka("kafka.admin.ConfigCommand", *nodes, "--alter", "--delete-config", "log.retention.ms")
    group = [*server, "--entity-type", "groups", "--entity-name", f"times-{RUN}"]
    java_kafka("kafka.admin.ConfigCommand", *group, "--alter", "--add-config", "consumer.session.timeout.ms=50000")
    described = java_kafka("kafka.admin.ConfigCommand", *group, "--describe")
    expect("consumer.session.timeout.ms=50000" in described, described)


def console_clients():
    topic, group = f"console-{RUN}", f"console-group-{RUN}"
    server = ["--bootstrap-server", BOOTSTRAP]
    sent = []
    for codec in CODECS:
        lines = [f"{codec}-{number}" for number in range(100)]
        sent += lines
        java("ConsoleProducer", *server, "--topic", topic, "--compression-codec", codec, stdin="\n".join(lines) + "\n")
    consume = [*server, "--topic", topic, "--group", group, "--from-beginning", "--timeout-ms", "20000"]
    got = java("consumer.ConsoleConsumer", *consume, "--max-messages", str(len(sent)))
    received = [line for line in got.splitlines() if line in set(sent)]
    expect(received == sent, f"sent {len(sent)} lines, read {len(received)} or in another order:\n{got[-2000:]}")

    offsets = java("GetOffsetShell", *server, "--topic", topic)
    expect(f"{topic}:0:{len(sent)}" in offsets, offsets)
    earliest = java("GetOffsetShell", *server, "--topic", topic, "--time", "earliest")
    expect(f"{topic}:0:0" in earliest, earliest)
    newest = java("GetOffsetShell", *server, "--topic", topic, "--time", "max-timestamp")
    expect(f"{topic}:0:" in newest, newest)

    groups = "consumer.group.ConsumerGroupCommand"
    expect(group in java(groups, *server, "--list"), "the group is not listed")
    described = java(groups, *server, "--describe", "--group", group)
    expect(str(len(sent)) in described, described)
    reset = [*server, "--reset-offsets", "--group", group, "--topic", topic, "--execute"]
    java(groups, *reset, "--to-offset", "42")
    expect("42" in java(groups, *server, "--describe", "--group", group), "the offset was not reset")
    java(groups, *server, "--delete-offsets", "--group", group, "--topic", topic)
    java(groups, *reset, "--to-earliest")
    java(groups, *server, "--delete", "--group", group)
    expect(group not in java(groups, *server, "--list"), "the group is still listed")

    with tempfile.NamedTemporaryFile("w", suffix=".json") as wanted:
        wanted.write('{"version": 1, "partitions": [{"topic": "%s", "partition": 0, "offset": 10}]}' % topic)
        wanted.flush()
        deleted = java("DeleteRecordsCommand", *server, "--offset-json-file", wanted.name)
    expect("low_watermark: 10" in deleted, deleted)
    earliest = java("GetOffsetShell", *server, "--topic", topic, "--time", "earliest")
    expect(f"{topic}:0:10" in earliest, earliest)


def consume_all(consumers, total, deadline_s=60):
    """Reads from all consumers, each in its own thread, until `total` records came."""
    got, done, lock = [], threading.Event(), threading.Lock()

    def run(index, consumer):
        while not done.is_set():
            message = consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise AssertionError(str(message.error()))
                continue
            with lock:
                got.append((index, message.topic(), message.partition(), message.offset(), message.value()))
                if len(got) >= total:
                    done.set()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(consumers)]
    for thread in threads:
        thread.start()
    done.wait(deadline_s)
    done.set()
    for thread in threads:
        thread.join()
    return got


def produce(topic, count, partitions, **config):
    failures = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5, **config})

    def report(error, _message):
        if error is not None:
            failures.append(str(error))

    for number in range(count):
        producer.produce(topic, f"v{number}", f"k{number}", partition=number % partitions, on_delivery=report)
        if number % 1000 == 0:
            producer.poll(0)
    expect(producer.flush(60) == 0, "not everything was delivered")
    expect(not failures, failures[:3])


def librdkafka():
    topic, group, count, partitions = f"rdkafka-{RUN}", f"rdkafka-group-{RUN}", 4000, 4
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])[topic].result(30)
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    members = [Consumer(settings), Consumer(settings)]
    for member in members:
        member.subscribe([topic])
    # Both members have their share before there is anything to read.
    deadline = time.monotonic() + 60
    while not all(member.assignment() for member in members):
        expect(time.monotonic() < deadline, "the group of two did not come together")
        for member in members:
            message = member.poll(0.1)
            expect(message is None, "the topic is empty")
    for number, codec in enumerate(CODECS):
        idempotent = {"enable.idempotence": True} if number % 2 == 0 else {"acks": "1"}
        produce(topic, count // len(CODECS), partitions, **{"compression.type": codec}, **idempotent)
    got = consume_all(members, count)
    expect(len({(p, o) for _, _, p, o, _ in got}) == count, f"read {len(got)} of {count}")
    expect({index for index, *_ in got} == {0, 1}, "one member read everything")
    for member in members:
        member.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(30)
    expect(len(described.members) == 2, described)
    for member in members:
        member.close()

    listed = admin.list_consumer_groups().result()
    expect(group in {found.group_id for found in listed.valid}, "the group is not listed")
    committed = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)]
    )[group].result(30)
    expect(sum(partition.offset for partition in committed.topic_partitions) == count, committed)

    admin.create_partitions([NewPartitions(topic, partitions + 2)])[topic].result(30)
    expect(len(admin.list_topics(topic, 30).topics[topic].partitions) == partitions + 2, "no new partitions")
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    configs = admin.describe_configs([resource])[resource].result(30)
    expect(configs["cleanup.policy"].value == "delete", configs["cleanup.policy"])
    listed = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.latest()})
    expect(listed[TopicPartition(topic, 0)].result(30).offset == count // partitions, "wrong end offset")
    deleted = admin.delete_records([TopicPartition(topic, 0, 7)])
    expect(list(deleted.values())[0].result(30).low_watermark == 7, "wrong low watermark")
    admin.delete_topics([topic])[topic].result(30)
    expect(topic not in admin.list_topics(timeout=30).topics, "the topic is still there")


def transactions():
    """Commits and aborts with librdkafka and Java, offsets included; reads with both isolation levels."""
    topic, group = f"transactional-{RUN}", f"transactional-group-{RUN}"
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"rdkafka-{RUN}"})
    producer.init_transactions(30)
    reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group})
    reader.subscribe([topic])
    kept = []
    for number in range(20):
        producer.begin_transaction()
        for step in range(10):
            producer.produce(topic, f"t{number}-{step}", partition=step % 2)
        offsets = [TopicPartition(topic, 0, number)]
        producer.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), 30)
        if number % 3 == 1:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            kept += [f"t{number}-{step}".encode() for step in range(10)]
    reader.close()
    committed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
    # The last transaction, number 19, was aborted.
    expect([partition.offset for partition in committed.topic_partitions] == [18], committed)

    fenced = producer
    newer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"rdkafka-{RUN}"})
    newer.init_transactions(30)
    try:
        fenced.begin_transaction()
        fenced.produce(topic, "late", partition=0)
        fenced.commit_transaction(30)
        raise AssertionError("the older producer was not fenced")
    except KafkaException as refused:
        expect(refused.args[0].fatal(), refused)

    settings = {"bootstrap.servers": BOOTSTRAP, "group.id": f"{group}-reader", "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    read = sorted(value for *_, value in consume_all([consumer], len(kept), 30))
    consumer.close()
    expect(read == sorted(kept), f"read {len(read)} of {len(kept)} committed records")

    server = ["--bootstrap-server", BOOTSTRAP]
    consume = [*server, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed"]
    got = java("consumer.ConsoleConsumer", *consume, "--timeout-ms", "20000", "--max-messages", str(len(kept)))
    lines = sorted(line.encode() for line in got.splitlines() if line.startswith("t"))
    expect(lines == sorted(kept), f"Java read {len(lines)} of {len(kept)} committed records")

    java_topic = f"java-{topic}"
    admin.create_topics([NewTopic(java_topic, num_partitions=2, replication_factor=1)])[java_topic].result(30)
    load = ["--topic", java_topic, "--num-records", "5000", "--record-size", "100", "--throughput", "-1"]
    load += ["--transactional-id", f"java-{RUN}", "--transaction-duration-ms", "50"]
    done = java("ProducerPerformance", *load, "--producer-props", f"bootstrap.servers={BOOTSTRAP}")
    expect("5000 records sent" in done, done)
    listed = java("TransactionsCommand", *server, "list")
    expect(f"java-{RUN}" in listed and "CompleteCommit" in listed, listed)
    described = java("TransactionsCommand", *server, "describe", "--transactional-id", f"java-{RUN}")
    expect("CompleteCommit" in described, described)
    producers = java("TransactionsCommand", *server, "describe-producers", "--topic", java_topic, "--partition", "0")
    expect("None" in producers, producers)


def consumer_protocol():
    """One KIP-848 group of librdkafka and one of Java."""
    topic, group = f"kip848-{RUN}", f"kip848-group-{RUN}"
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])[topic].result(30)
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "group.protocol": "consumer",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    members = [Consumer(settings), Consumer(settings)]
    for member in members:
        member.subscribe([topic])
    deadline = time.monotonic() + 60
    while sorted(len(member.assignment()) for member in members) != [2, 2]:
        expect(time.monotonic() < deadline, "the group of two did not share the partitions")
        for member in members:
            expect(member.poll(0.1) is None, "the topic is empty")
    produce(topic, 1000, 4)
    got = consume_all(members, 1000)
    expect(len({(p, o) for _, _, p, o, _ in got}) == 1000, f"read {len(got)} of 1000")
    for member in members:
        member.commit(asynchronous=False)
    server = ["--bootstrap-server", BOOTSTRAP]
    groups = "consumer.group.ConsumerGroupCommand"
    described = java(groups, *server, "--describe", "--group", group, "--state")
    expect("Stable" in described and "uniform" in described, described)
    for member in members:
        member.close()
    consume = [*server, "--topic", topic, "--group", f"java-{group}", "--from-beginning", "--timeout-ms", "30000"]
    consume += ["--consumer-property", "group.protocol=consumer", "--max-messages", "1000"]
    read = java("consumer.ConsoleConsumer", *consume)
    expect(len({line for line in read.splitlines() if line.startswith("v")}) == 1000, read[-2000:])
    listed = java(groups, *server, "--list", "--type")
    expect(any(f"java-{group}" in line and "Consumer" in line for line in listed.splitlines()), listed)


def start(program, directory, nodes):
    """Starts the broker; it stops when its standard input closes."""
    command = [program, "--dir", directory, "--nodes", str(nodes)]
    broker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    bootstrap = broker.stdout.readline().strip()
    expect(bootstrap, "the broker did not start")
    return broker, bootstrap


def survives_kill(program):
    """Kills the broker while a producer is busy; what was acknowledged must be there exactly once."""
    with tempfile.TemporaryDirectory() as directory:
        broker, bootstrap = start(program, directory, 1)
        topic, acknowledged = f"killed-{RUN}", set()
        producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 1})

        def report(error, message):
            if error is None:
                acknowledged.add(message.value())

        number = 0
        while len(acknowledged) < 20_000:
            producer.produce(topic, f"v{number}", on_delivery=report)
            number += 1
            if number % 100 == 0:
                producer.poll(0)
        broker.kill()
        broker.wait()
        producer.poll(0)
        producer.purge()

        broker, bootstrap = start(program, directory, 1)
        settings = {"bootstrap.servers": bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
        consumer = Consumer(settings)
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)
        consumer.assign([TopicPartition(topic, 0, 0)])
        read = [value for *_, value in consume_all([consumer], end)]
        consumer.close()
        expect(len(read) == len(set(read)), "a record is there twice")
        expect(acknowledged <= set(read), f"{len(acknowledged - set(read))} acknowledged records are gone")
        broker.stdin.close()
        expect(broker.wait(30) == 0, "the broker did not stop in order")


def run(step, *arguments):
    started = time.monotonic()
    step(*arguments)
    print(f"{step.__name__}: ok ({time.monotonic() - started:.1f} s)", flush=True)


def main():
    global BOOTSTRAP
    steps = (librdkafka, transactions, consumer_protocol, topics_and_configs, controller, console_clients)
    if sys.argv[1] != "--serve":
        BOOTSTRAP = sys.argv[1]
        for step in steps:
            run(step)
        return
    program = sys.argv[2]
    run(survives_kill, program)
    with tempfile.TemporaryDirectory() as directory:
        broker, BOOTSTRAP = start(program, directory, 3)
        try:
            for step in steps:
                run(step)
        finally:
            broker.stdin.close()
            broker.wait(30)


if __name__ == "__main__":
    main()

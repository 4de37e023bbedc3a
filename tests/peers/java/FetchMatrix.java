import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * usage: FetchMatrix BOOTSTRAP PREFIX SEED
 *
 * <p>Writes three topics that between them hold what a fetch can meet, and prints one JSON object of what Kafka's own consumer
 * reads from them, by topic and isolation level:
 *
 * <ul>
 *   <li>PREFIX-codecs: batches of every codec, plain ones and committed and aborted transactions in between, null and empty keys
 *       and values, headers with duplicate keys and null values, timestamps out of order and further apart than 32 bits;
 *   <li>PREFIX-appended: timestamps by the broker (LogAppendTime);
 *   <li>PREFIX-compacted: a topic with gaps, tombstones and emptied batches among them.
 * </ul>
 */
public final class FetchMatrix {
    private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    private static final int PARTITIONS = 3;
    private static final int ROUNDS = 8;

    private final String bootstrap;
    private final Random random;

    private FetchMatrix(String bootstrap, long seed) {
        this.bootstrap = bootstrap;
        this.random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        FetchMatrix matrix = new FetchMatrix(args[0], Long.parseLong(args[2]));
        String codecs = args[1] + "-codecs";
        String appended = args[1] + "-appended";
        String compacted = args[1] + "-compacted";
        matrix.writeCodecs(codecs);
        matrix.writeAppended(appended);
        matrix.writeCompacted(compacted);
        StringBuilder json = new StringBuilder("{");
        for (String topic : List.of(codecs, appended, compacted)) {
            if (json.length() > 1) json.append(",\n");
            json.append('"').append(topic).append("\":{");
            Dump.print(json, matrix.bootstrap, topic, "read_committed");
            json.append(',');
            Dump.print(json, matrix.bootstrap, topic, "read_uncommitted");
            json.append('}');
        }
        System.out.println(json.append('}'));
    }

    private void writeCodecs(String topic) throws Exception {
        Peers.createTopic(bootstrap, topic, PARTITIONS, Map.of());
        List<KafkaProducer<byte[], byte[]>> plain = new ArrayList<>();
        List<KafkaProducer<byte[], byte[]>> transactional = new ArrayList<>();
        for (String codec : CODECS) {
            plain.add(Peers.producer(bootstrap, Map.of("compression.type", codec)));
            transactional.add(Peers.producer(
                    bootstrap, Map.of("compression.type", codec, "transactional.id", topic + "-" + codec)));
        }
        transactional.forEach(KafkaProducer::initTransactions);
        for (int round = 0; round < ROUNDS; round++) {
            for (int codec = 0; codec < CODECS.length; codec++) {
                send(plain.get(codec), topic, 1 + random.nextInt(40));
                KafkaProducer<byte[], byte[]> producer = transactional.get(codec);
                producer.beginTransaction();
                send(producer, topic, 1 + random.nextInt(40));
                // Records of others between the records of an open transaction.
                send(plain.get((codec + 1) % CODECS.length), topic, 1 + random.nextInt(5));
                send(producer, topic, 1 + random.nextInt(10));
                if (random.nextBoolean()) producer.commitTransaction();
                else producer.abortTransaction();
            }
        }
        plain.forEach(KafkaProducer::close);
        transactional.forEach(KafkaProducer::close);
    }

    private void writeAppended(String topic) throws Exception {
        Peers.createTopic(bootstrap, topic, PARTITIONS, Map.of("message.timestamp.type", "LogAppendTime"));
        for (String codec : CODECS) {
            try (KafkaProducer<byte[], byte[]> producer = Peers.producer(bootstrap, Map.of("compression.type", codec))) {
                send(producer, topic, 60);
            }
        }
    }

    private void writeCompacted(String topic) throws Exception {
        Map<String, String> settings = Map.of(
                "cleanup.policy", "compact",
                "segment.bytes", "1048576",
                "min.cleanable.dirty.ratio", "0.01",
                "delete.retention.ms", "0");
        Peers.createTopic(bootstrap, topic, 1, settings);
        // Some keys never come back, most are overwritten: the cleaner leaves single records, gaps and emptied batches.
        for (String codec : CODECS) {
            Map<String, String> producerSettings = Map.of("compression.type", codec, "batch.size", "8192");
            try (KafkaProducer<byte[], byte[]> producer = Peers.producer(bootstrap, producerSettings)) {
                for (int number = 0; number < 1500; number++) {
                    String name = number % 97 == 0 ? codec + "-kept-" + number : "key-" + random.nextInt(50);
                    byte[] value = random.nextInt(20) == 0 ? null : bytes(700);
                    long timestamp = 1_700_000_000_000L + number;
                    producer.send(new ProducerRecord<>(topic, 0, timestamp, name.getBytes(StandardCharsets.UTF_8), value));
                }
            }
        }
        awaitGaps(topic);
    }

    private void awaitGaps(String topic) throws Exception {
        long deadline = System.nanoTime() + 60_000_000_000L;
        int written = 1500 * CODECS.length;
        while (records(topic, "read_committed").size() > written / 2) {
            if (System.nanoTime() > deadline) throw new IllegalStateException("the cleaner left " + topic + " as it was");
            Thread.sleep(200);
        }
        Peers.alterTopic(bootstrap, topic, Map.of("cleanup.policy", "delete"));
        // A cleaning that was under way may still replace a segment.
        int before;
        int after = records(topic, "read_committed").size();
        do {
            before = after;
            Thread.sleep(500);
            after = records(topic, "read_committed").size();
        } while (before != after);
    }

    private void send(KafkaProducer<byte[], byte[]> producer, String topic, int count) {
        for (int index = 0; index < count; index++) {
            List<Header> headers = new ArrayList<>();
            for (int header = random.nextInt(4); header > 0; header--) {
                String name = random.nextInt(8) == 0 ? "" : "h" + random.nextInt(3) + (random.nextInt(4) == 0 ? "-é😀" : "");
                headers.add(new RecordHeader(name, random.nextInt(3) == 0 ? null : bytes(20)));
            }
            producer.send(new ProducerRecord<>(topic, random.nextInt(PARTITIONS), timestamp(), maybe(30), maybe(400), headers));
        }
        producer.flush();
    }

    private long timestamp() {
        return switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> 4_102_444_800_000L + random.nextInt();
            case 2 -> random.nextInt(1000);
            default -> 1_700_000_000_000L + random.nextInt(100_000);
        };
    }

    private byte[] maybe(int size) {
        return switch (random.nextInt(8)) {
            case 0 -> null;
            case 1 -> new byte[0];
            case 2 -> new byte[size * 4];
            default -> bytes(size);
        };
    }

    private byte[] bytes(int size) {
        byte[] bytes = new byte[random.nextInt(size)];
        random.nextBytes(bytes);
        return bytes;
    }

    private List<ConsumerRecord<byte[], byte[]>> records(String topic, String isolation) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        Peers.readAll(bootstrap, topic, isolation, records::add);
        return records;
    }
}

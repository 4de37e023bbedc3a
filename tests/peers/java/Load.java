import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * usage: Load BOOTSTRAP TOPIC PARTITIONS [--codec NAME] [--transactions SIZE ABORT_EVERY] [--compact KEYS]
 *     [--existing]
 *
 * <p>Creates the topic and fills it with the lines of stdin: line i goes to partition i modulo PARTITIONS with a null key and
 * the timestamp 1700000000000 + i, in order.
 *
 * <p>--transactions writes SIZE records a transaction, and before each ABORT_EVERY-th one another of the same records that is
 * aborted. --compact gives line i the key i modulo KEYS, makes the topic compacted, waits until the cleaner has made gaps in
 * every partition and then freezes the topic, so that what it holds no longer changes. --existing adds to a topic that is there.
 */
public final class Load {
    private static final long EPOCH_MS = 1_700_000_000_000L;

    private final String bootstrap;
    private final String topic;
    private final int partitions;
    private final Map<String, String> options = new HashMap<>();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private final StringBuilder pending = new StringBuilder();
    private long sent = 0;

    private Load(String[] args) {
        bootstrap = args[0];
        topic = args[1];
        partitions = Integer.parseInt(args[2]);
        for (int index = 3; index < args.length; ) {
            switch (args[index]) {
                case "--codec" -> options.put("codec", args[index + 1]);
                case "--compact" -> options.put("keys", args[index + 1]);
                case "--existing" -> {
                    options.put("existing", "");
                    index--;
                }
                case "--transactions" -> {
                    options.put("size", args[index + 1]);
                    options.put("abort", args[index + 2]);
                    index++;
                }
                default -> throw new IllegalArgumentException("unknown option " + args[index]);
            }
            index += 2;
        }
    }

    public static void main(String[] args) throws Exception {
        new Load(args).run();
    }

    private void run() throws Exception {
        if (!options.containsKey("existing")) Peers.createTopic(bootstrap, topic, partitions, topicSettings());
        Map<String, String> settings = new HashMap<>();
        settings.put("compression.type", options.getOrDefault("codec", "none"));
        if (options.containsKey("size")) settings.put("transactional.id", topic + "-loader");
        if (options.containsKey("keys")) settings.put("batch.size", "4096");
        try (KafkaProducer<byte[], byte[]> producer = Peers.producer(bootstrap, settings);
                BufferedReader lines = new BufferedReader(
                        new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 18)) {
            if (options.containsKey("size")) {
                loadInTransactions(producer, lines);
            } else {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) send(producer, sent++, line);
            }
            producer.flush();
        }
        if (failure.get() != null) throw failure.get();
        if (options.containsKey("keys")) awaitGaps();
        System.out.println(sent);
    }

    private Map<String, String> topicSettings() {
        if (!options.containsKey("keys")) return Map.of();
        return Map.of(
                "cleanup.policy", "compact",
                "segment.bytes", "1048576",
                "min.cleanable.dirty.ratio", "0.01",
                "min.compaction.lag.ms", "0");
    }

    private void send(KafkaProducer<byte[], byte[]> producer, long number, String line) {
        byte[] key = null;
        if (options.containsKey("keys")) {
            key = ("key-" + number % Long.parseLong(options.get("keys"))).getBytes(StandardCharsets.UTF_8);
        }
        byte[] value = line.getBytes(StandardCharsets.UTF_8);
        int partition = (int) (number % partitions);
        producer.send(new ProducerRecord<>(topic, partition, EPOCH_MS + number, key, value), (metadata, error) -> {
            if (error != null) failure.compareAndSet(null, error);
        });
    }

    private void loadInTransactions(KafkaProducer<byte[], byte[]> producer, BufferedReader lines) throws Exception {
        int size = Integer.parseInt(options.get("size"));
        int abortEvery = Integer.parseInt(options.get("abort"));
        producer.initTransactions();
        String[] batch = new String[size];
        for (int transaction = 1; ; transaction++) {
            int count = 0;
            while (count < size && (batch[count] = lines.readLine()) != null) count++;
            if (count == 0) return;
            if (transaction % abortEvery == 0) {
                sendTransaction(producer, batch, count);
                // Aborted records must reach the log: unsent ones would leave nothing for a reader to filter.
                producer.flush();
                producer.abortTransaction();
            }
            sendTransaction(producer, batch, count);
            producer.commitTransaction();
            sent += count;
        }
    }

    private void sendTransaction(KafkaProducer<byte[], byte[]> producer, String[] batch, int count) {
        producer.beginTransaction();
        for (int index = 0; index < count; index++) send(producer, sent + index, batch[index]);
    }

    private void awaitGaps() throws Exception {
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (!everyPartitionHasGaps()) {
            if (System.nanoTime() > deadline) throw new IllegalStateException("the cleaner left " + topic + " as it was");
            Thread.sleep(200);
        }
        Peers.alterTopic(bootstrap, topic, Map.of("cleanup.policy", "delete"));
        // A cleaning that was under way may still replace a segment.
        String before;
        String after = contents();
        do {
            before = after;
            Thread.sleep(500);
            after = contents();
        } while (!before.equals(after));
    }

    private boolean everyPartitionHasGaps() {
        Set<Integer> gapped = new HashSet<>();
        Map<Integer, Long> last = new HashMap<>();
        Peers.readAll(bootstrap, topic, "read_committed", record -> {
            Long previous = last.put(record.partition(), record.offset());
            if (record.offset() != (previous == null ? 0 : previous + 1)) gapped.add(record.partition());
        });
        return gapped.size() == partitions;
    }

    private String contents() {
        pending.setLength(0);
        Peers.readAll(bootstrap, topic, "read_committed", record ->
                pending.append(record.partition()).append(':').append(record.offset()).append(' '));
        return pending.toString();
    }
}

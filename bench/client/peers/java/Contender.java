import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own client as a contender; contender/src/lib.rs says what the fields of the result line mean. */
final class Contender {
    private final Map<String, String> flags = new HashMap<>();
    private long records, errors, firstRss, bytes, timestamps;
    private double seconds, cpuSeconds, firstMs;
    private int[] latencies = new int[0];

    String text(String flag) { return flags.getOrDefault(flag, ""); }

    int number(String flag) { return Integer.parseInt(text(flag)); }

    static double cpu() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    void first() throws IOException {
        Instant now = Instant.now();
        firstMs = (now.getEpochSecond() * 1_000_000_000L + now.getNano() - Long.parseLong(text("started-ns"))) / 1e6;
        firstRss = memoryBytes("VmRSS:");
    }

    static long memoryBytes(String name) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith(name)) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
        }
        return 0;
    }

    void print() throws IOException {
        String line = String.format("\"records\":%d,\"errors\":%d,\"seconds\":%f,\"cpu_seconds\":%f,\"first_record_ms\":%f,"
            + "\"first_record_rss_bytes\":%d,\"peak_rss_bytes\":%d,\"bytes\":%d,\"timestamps\":%d",
            records, errors, seconds, cpuSeconds, firstMs, firstRss, memoryBytes("VmHWM:"), bytes, timestamps);
        int count = latencies.length;
        if (count > 0) {
            Arrays.sort(latencies);
            line += String.format(",\"p50_us\":%d,\"p99_us\":%d,\"p999_us\":%d,\"max_us\":%d", latencies[count / 2],
                latencies[(int) (count * 0.99)], latencies[(int) (count * 0.999)], latencies[count - 1]);
        }
        System.out.println("{" + line + "}");
        System.out.flush();
    }

    void consume() throws IOException {
        Properties config = new Properties();
        config.put("bootstrap.servers", text("bootstrap"));
        config.put("key.deserializer", ByteArrayDeserializer.class);
        config.put("value.deserializer", ByteArrayDeserializer.class);
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        if (!text("group").isEmpty()) config.put("group.id", text("group"));
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config);
        long started = System.nanoTime();
        double cpu = cpu();
        if (text("group").isEmpty()) {
            List<TopicPartition> assigned = new ArrayList<>();
            for (int partition = 0; partition < number("partitions"); partition++) {
                assigned.add(new TopicPartition(text("topic"), partition));
            }
            consumer.assign(assigned);
            consumer.seekToBeginning(assigned);
        } else {
            consumer.subscribe(List.of(text("topic")));
        }
        int wanted = number("records");
        while (records < wanted) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                if (records++ == 0) first();
                bytes += (record.key() == null ? 0 : record.key().length) + record.value().length;
                timestamps += record.timestamp();
            }
        }
        stop(started, cpu);
    }

    void stop(long started, double cpu) {
        seconds = (System.nanoTime() - started) / 1e9;
        cpuSeconds = cpu() - cpu;
    }

    byte[][] values() throws IOException {
        byte[] payload = Files.readAllBytes(Path.of(text("payload")));
        int size = number("value-bytes");
        byte[][] values = new byte[payload.length / size][];
        for (int index = 0; index < values.length; index++) {
            values[index] = Arrays.copyOfRange(payload, index * size, (index + 1) * size);
        }
        return values;
    }

    static byte[] key(int index) {
        byte[] key = {'k', '0', '0', '0', '0', '0', '0', '0'};
        for (int digits = index % 100_000, place = 7; place > 0; digits /= 10, place--) key[place] = (byte) ('0' + digits % 10);
        return key;
    }

    KafkaProducer<byte[], byte[]> producer(int partitions) {
        Properties config = new Properties();
        config.put("bootstrap.servers", text("bootstrap"));
        config.put("key.serializer", ByteArraySerializer.class);
        config.put("value.serializer", ByteArraySerializer.class);
        config.put("acks", "all");
        config.put("linger.ms", text("linger-ms"));
        config.put("compression.type", text("codec"));
        config.put("compression.zstd.level", "1");
        // Large batches, as far as one for every partition fits the buffer.
        int fitting = text("batch-bytes").isEmpty() ? Math.max(16_384, Math.min(1_000_000, 64_000_000 / partitions)) : number("batch-bytes");
        config.put("batch.size", fitting);
        config.put("buffer.memory", 134_217_728L);
        return new KafkaProducer<>(config);
    }

    void produce(String workload) throws Exception {
        int partitions = number("partitions");
        boolean keyed = text("keyed").equals("true");
        byte[][] values = values();
        String topic = text("topic");
        KafkaProducer<byte[], byte[]> producer = producer(partitions);
        java.util.function.IntFunction<ProducerRecord<byte[], byte[]>> record = index -> keyed
            ? new ProducerRecord<>(topic, key(index), values[index % values.length])
            : new ProducerRecord<>(topic, index % partitions, null, values[index % values.length]);
        if (text("warm-up").equals("true")) producer.send(record.apply(0)).get();
        AtomicLong acked = new AtomicLong(), refused = new AtomicLong();
        long started = System.nanoTime();
        double cpu = cpu();
        switch (workload) {
            case "latency" -> {
                latencies = new int[number("records")];
                for (int index = 0; index < latencies.length; index++) {
                    long sent = System.nanoTime();
                    producer.send(record.apply(index)).get();
                    latencies[index] = (int) ((System.nanoTime() - sent) / 1000);
                }
                records = latencies.length;
            }
            case "open-loop" -> {
                long rate = number("rate");
                int total = (int) rate * number("seconds");
                latencies = new int[total];
                int[] settled = {0};
                for (int sent = 0; sent < total;) {
                    long elapsed = (System.nanoTime() - started) / 1000;
                    for (; sent < total && sent * 1_000_000L / rate <= elapsed; sent++) {
                        long due = sent * 1_000_000L / rate;
                        producer.send(record.apply(sent), (metadata, error) -> {
                            if (error != null) refused.incrementAndGet();
                            latencies[settled[0]++] = (int) ((System.nanoTime() - started) / 1000 - due);
                        });
                    }
                    LockSupport.parkNanos(1_000_000);
                }
                producer.flush();
                records = total - refused.get();
            }
            default -> {
                Callback settled = (metadata, error) -> (error == null ? acked : refused).incrementAndGet();
                int total = number("records");
                for (int index = 0; index < total; index++) producer.send(record.apply(index), settled);
                producer.flush();
                records = acked.get();
                first();
            }
        }
        errors = refused.get();
        stop(started, cpu);
    }

    public static void main(String[] arguments) throws Exception {
        Contender contender = new Contender();
        for (int position = 1; position + 1 < arguments.length; position += 2) {
            contender.flags.put(arguments[position].substring(2), arguments[position + 1]);
        }
        if (arguments[0].equals("consume")) contender.consume();
        else contender.produce(arguments[0]);
        contender.print();
        Runtime.getRuntime().halt(0);
    }
}

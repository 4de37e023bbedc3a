import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What the programs of this folder share: topics, producers and a reader of whole topics, all Kafka's own. */
final class Peers {
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private Peers() {}

    /** Creates a topic with the cluster's default replication that keeps its records whatever their timestamps. */
    static void createTopic(String bootstrap, String topic, int partitions, Map<String, String> settings)
            throws Exception {
        Map<String, String> configs = new HashMap<>();
        configs.put("retention.ms", "-1");
        configs.put("message.timestamp.before.max.ms", Long.toString(Long.MAX_VALUE));
        configs.put("message.timestamp.after.max.ms", Long.toString(Long.MAX_VALUE));
        configs.putAll(settings);
        NewTopic wanted = new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(configs);
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            while (true) {
                try {
                    admin.createTopics(List.of(wanted)).all().get();
                    break;
                } catch (ExecutionException failure) {
                    // A cluster that has just started may not have seen all of its nodes yet.
                    boolean starting = failure.getCause() instanceof InvalidReplicationFactorException
                            || failure.getCause() instanceof RetriableException;
                    if (!starting || System.nanoTime() > deadline) throw failure;
                    Thread.sleep(100);
                }
            }
            awaitLeaders(admin, topic, partitions);
        }
    }

    /**
     * Returns when every partition's leader answers. A producer that is faster has requests under way while the leaders come into
     * being: the first batch of a partition may be refused and the second taken, and then the first never is.
     */
    private static void awaitLeaders(Admin admin, String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            asked.put(new TopicPartition(topic, partition), OffsetSpec.latest());
        }
        admin.listOffsets(asked).all().get();
    }

    static void alterTopic(String bootstrap, String topic, Map<String, String> settings) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        settings.forEach((key, value) ->
                changes.add(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET)));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
        }
    }

    static KafkaProducer<byte[], byte[]> producer(String bootstrap, Map<String, String> settings) {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", bootstrap);
        configs.put("acks", "all");
        configs.put("linger.ms", "20");
        configs.put("batch.size", "131072");
        configs.put("buffer.memory", "134217728");
        configs.putAll(settings);
        return new KafkaProducer<>(configs, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Hands every record of the topic to `each`, partition by partition order kept, and returns the end offsets. */
    static Map<TopicPartition, Long> readAll(
            String bootstrap, String topic, String isolation, Consumer<ConsumerRecord<byte[], byte[]>> each) {
        Map<String, Object> configs = Map.of(
                "bootstrap.servers", bootstrap,
                "isolation.level", isolation,
                "enable.auto.commit", "false",
                "fetch.max.bytes", "52428800",
                "max.partition.fetch.bytes", "10485760",
                "max.poll.records", "10000");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo info : consumer.partitionsFor(topic)) {
                partitions.add(new TopicPartition(topic, info.partition()));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                if (System.nanoTime() > deadline) throw new IllegalStateException("topic " + topic + " does not end");
                consumer.poll(Duration.ofMillis(200)).forEach(each);
            }
            return ends;
        }
    }
}

import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * usage: GroupMember BOOTSTRAP GROUP TOPIC PROTOCOL [ASSIGNOR CLASS]
 *
 * <p>A member of a group until it reads something. Prints "takes PARTITION..." and "gives PARTITION..." as its
 * assignment changes and "read PARTITION OFFSET" for every record; commits after every poll.
 */
public final class GroupMember {
    public static void main(String[] args) throws Exception {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", args[0]);
        configs.put("group.id", args[1]);
        configs.put("group.protocol", args[3]);
        configs.put("enable.auto.commit", "false");
        configs.put("auto.offset.reset", "earliest");
        if (args.length > 4) {
            configs.put("partition.assignment.strategy", args[4]);
            configs.put("session.timeout.ms", "6000");
            configs.put("heartbeat.interval.ms", "200");
        }
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[2]), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    StringBuilder line = new StringBuilder("gives");
                    partitions.forEach(partition -> line.append(' ').append(partition.partition()));
                    System.out.println(line);
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    StringBuilder line = new StringBuilder("takes");
                    partitions.forEach(partition -> line.append(' ').append(partition.partition()));
                    System.out.println(line);
                }
            });
            while (System.in.available() == 0) {
                var records = consumer.poll(Duration.ofMillis(100));
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    System.out.println("read " + record.partition() + " " + record.offset());
                }
                if (!records.isEmpty()) consumer.commitSync();
            }
        }
    }
}

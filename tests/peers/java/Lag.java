import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * usage: Lag BOOTSTRAP GROUP TOPIC
 *
 * <p>Prints "partition committed end" for every partition that the group has committed: what an operator sees of the group.
 */
public final class Lag {
    public static void main(String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            Map<Integer, Long> committed = new TreeMap<>();
            Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
            for (Map.Entry<TopicPartition, OffsetAndMetadata> entry :
                    admin.listConsumerGroupOffsets(args[1]).partitionsToOffsetAndMetadata().get().entrySet()) {
                if (!entry.getKey().topic().equals(args[2])) continue;
                committed.put(entry.getKey().partition(), entry.getValue().offset());
                asked.put(entry.getKey(), OffsetSpec.latest());
            }
            var ends = admin.listOffsets(asked).all().get();
            committed.forEach((partition, offset) -> System.out.println(
                    partition + " " + offset + " " + ends.get(new TopicPartition(args[2], partition)).offset()));
        }
    }
}

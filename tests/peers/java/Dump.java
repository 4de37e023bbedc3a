import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/**
 * usage: Dump BOOTSTRAP TOPIC
 *
 * <p>Prints what Kafka's own consumer reads from a topic under read_committed and under read_uncommitted, as one JSON object. Keys,
 * values and headers are hexadecimal, or null.
 */
public final class Dump {
    private Dump() {}

    public static void main(String[] args) {
        StringBuilder json = new StringBuilder("{");
        print(json, args[0], args[1], "read_committed");
        json.append(',');
        print(json, args[0], args[1], "read_uncommitted");
        System.out.println(json.append('}'));
    }

    /** Appends the member "ISOLATION": {"end_offsets": [...], "records": [...]}. */
    static void print(StringBuilder json, String bootstrap, String topic, String isolation) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        Map<Integer, Long> ends = new TreeMap<>();
        for (Map.Entry<TopicPartition, Long> end : Peers.readAll(bootstrap, topic, isolation, records::add).entrySet()) {
            ends.put(end.getKey().partition(), end.getValue());
        }
        json.append('"').append(isolation).append("\":{\"end_offsets\":").append(List.copyOf(ends.values()));
        json.append(",\"records\":[");
        for (int index = 0; index < records.size(); index++) {
            json.append(index == 0 ? "\n" : ",\n");
            print(json, records.get(index));
        }
        json.append("]}");
    }

    private static void print(StringBuilder json, ConsumerRecord<byte[], byte[]> record) {
        json.append("{\"partition\":").append(record.partition());
        json.append(",\"offset\":").append(record.offset());
        json.append(",\"timestamp\":").append(record.timestamp());
        json.append(",\"timestamp_type\":\"").append(record.timestampType()).append('"');
        json.append(",\"key\":").append(hex(record.key()));
        json.append(",\"value\":").append(hex(record.value()));
        json.append(",\"headers\":[");
        String separator = "";
        for (Header header : record.headers()) {
            json.append(separator).append('[').append(hex(header.key().getBytes(StandardCharsets.UTF_8)));
            json.append(',').append(hex(header.value())).append(']');
            separator = ",";
        }
        json.append("]}");
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "null" : '"' + HexFormat.of().formatHex(bytes) + '"';
    }
}

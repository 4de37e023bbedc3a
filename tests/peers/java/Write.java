import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/**
 * usage: Write BOOTSTRAP TOPIC
 *
 * <p>Sends the records on stdin with Kafka's own producer and prints the offset of each. A line is a record as Dump prints it,
 * with the member "codec" beside: {"codec": "lz4", "partition": 1, "timestamp": 5, "key": HEX, "value": HEX, "headers": [[HEX,
 * HEX], ...]}. Records of one codec that follow each other may share batches.
 */
public final class Write {
    private Write() {}

    public static void main(String[] args) throws Exception {
        Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        String before = null;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode record = new ObjectMapper().readTree(line);
            String codec = record.get("codec").asText();
            // What follows in another codec must not overtake what is still lingering.
            if (before != null && !before.equals(codec)) producers.get(before).flush();
            before = codec;
            KafkaProducer<byte[], byte[]> producer = producers.computeIfAbsent(
                    codec, name -> Peers.producer(args[0], Map.of("compression.type", name)));
            sent.add(producer.send(parse(args[1], record)));
        }
        producers.values().forEach(KafkaProducer::close);
        for (Future<RecordMetadata> one : sent) System.out.println(one.get().offset());
    }

    private static ProducerRecord<byte[], byte[]> parse(String topic, JsonNode record) {
        ProducerRecord<byte[], byte[]> parsed = new ProducerRecord<>(topic, record.get("partition").asInt(),
                record.get("timestamp").asLong(), bytes(record.get("key")), bytes(record.get("value")));
        for (JsonNode header : record.get("headers")) {
            String key = new String(bytes(header.get(0)), StandardCharsets.UTF_8);
            parsed.headers().add(key, bytes(header.get(1)));
        }
        return parsed;
    }

    private static byte[] bytes(JsonNode hex) {
        return hex.isNull() ? null : HexFormat.of().parseHex(hex.asText());
    }
}

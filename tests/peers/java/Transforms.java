import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Values;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/**
 * usage: Transforms < cases.jsonl
 *
 * <p>Each line is {"class", "config", "record"} of a transform or predicate, or {"parse"} of a header's text. Prints the
 * line with what Kafka Connect makes of it in "expect"; a topic t, and what is null or empty, is left out.
 */
public final class Transforms {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonConverter CONVERTER = new JsonConverter();

    public static void main(String[] args) throws Exception {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        CONVERTER.configure(Map.of("schemas.enable", "true"), false);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        for (String line; (line = lines.readLine()) != null; ) {
            if (line.isBlank()) continue;
            ObjectNode test = (ObjectNode) JSON.readTree(line);
            test.remove("expect");
            try {
                test.set("expect", expect(test));
            } catch (Exception error) {
                String message = error.getClass().getName() + ": " + error.getMessage();
                test.set("expect", JSON.createObjectNode().put("error", message));
            }
            out.append(JSON.writeValueAsString(test)).append('\n');
        }
        System.out.write(out.toString().getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }

    private static JsonNode expect(JsonNode test) throws Exception {
        if (test.has("parse")) {
            ArrayNode read = part(Values.parseString(test.get("parse").asText()));
            return JSON.createObjectNode().set("read", read);
        }
        Map<String, String> config = new HashMap<>();
        test.get("config").fields().forEachRemaining(entry -> config.put(entry.getKey(), entry.getValue().asText()));
        String name = test.get("class").asText();
        String full = name.startsWith("io.") ? name : "org.apache.kafka.connect.transforms." + name;
        Object plugin = Class.forName(full).getDeclaredConstructor().newInstance();
        ((Configurable) plugin).configure(config);
        ConnectRecord<?> record = record(test.get("record"));
        return plugin instanceof Predicate<?> ? JSON.createObjectNode().put("holds", holds(plugin, record))
                : describe(apply(plugin, record));
    }

    @SuppressWarnings("unchecked")
    private static <R extends ConnectRecord<R>> boolean holds(Object predicate, ConnectRecord<?> record) {
        return ((Predicate<R>) predicate).test((R) record);
    }

    @SuppressWarnings("unchecked")
    private static <R extends ConnectRecord<R>> R apply(Object transform, ConnectRecord<?> record) {
        return ((Transformation<R>) transform).apply((R) record);
    }

    private static ConnectRecord<?> record(JsonNode from) throws Exception {
        SchemaAndValue key = value(from.get("key"));
        SchemaAndValue value = value(from.get("value"));
        ConnectHeaders headers = new ConnectHeaders();
        if (from.has("headers")) {
            for (JsonNode header : from.get("headers")) {
                headers.add(header.get(0).asText(), value(header.get(1)));
            }
        }
        String topic = from.path("topic").asText("t");
        Integer partition = from.has("partition") ? from.get("partition").asInt() : null;
        Long timestamp = from.has("timestamp") ? from.get("timestamp").asLong() : null;
        if (!from.has("offset")) {
            return new SourceRecord(Map.of(), Map.of(), topic, partition, key.schema(), key.value(), value.schema(),
                    value.value(), timestamp, headers);
        }
        return new SinkRecord(topic, partition == null ? 0 : partition, key.schema(), key.value(), value.schema(),
                value.value(), from.get("offset").asLong(), timestamp,
                timestamp == null ? TimestampType.NO_TIMESTAMP_TYPE : TimestampType.CREATE_TIME, headers);
    }

    private static SchemaAndValue value(JsonNode from) throws Exception {
        if (from == null || from.isNull()) return SchemaAndValue.NULL;
        if (from.has("parse")) {
            SchemaAndValue read = Values.parseString(from.get("parse").asText());
            return from.path("schemaless").asBoolean() ? new SchemaAndValue(null, read.value()) : read;
        }
        return CONVERTER.toConnectData("t", JSON.writeValueAsBytes(from));
    }

    private static JsonNode describe(ConnectRecord<?> record) {
        if (record == null) return JSON.createObjectNode().put("dropped", true);
        ObjectNode to = JSON.createObjectNode();
        if (!record.topic().equals("t")) to.put("topic", record.topic());
        if (record.keySchema() != null || record.key() != null) {
            to.set("key", part(new SchemaAndValue(record.keySchema(), record.key())));
        }
        if (record.valueSchema() != null || record.value() != null) {
            to.set("value", part(new SchemaAndValue(record.valueSchema(), record.value())));
        }
        if (record.headers().isEmpty()) return to;
        ArrayNode headers = to.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(part(new SchemaAndValue(header.schema(), header.value())));
        }
        return to;
    }

    private static ArrayNode part(SchemaAndValue from) {
        ArrayNode to = JSON.createArrayNode();
        if (from == null) return to.addNull().add("null");
        try {
            to.add(from.schema() == null ? JSON.nullNode() : CONVERTER.asJsonSchema(from.schema()));
        } catch (RuntimeException error) {
            // A list without a type in common has a schema without that of its items.
            to.addNull();
        }
        return to.add(text(from.value()));
    }

    /** A value with its type, so that 1 and 1L differ. */
    private static String text(Object value) {
        if (value == null) return "null";
        if (value instanceof Boolean) return value.toString();
        if (value instanceof Byte) return "int8 " + value;
        if (value instanceof Short) return "int16 " + value;
        if (value instanceof Integer) return "int32 " + value;
        if (value instanceof Long) return "int64 " + value;
        if (value instanceof Float) return "float32 " + Integer.toHexString(Float.floatToIntBits((Float) value));
        if (value instanceof Double) return "float64 " + Long.toHexString(Double.doubleToLongBits((Double) value));
        if (value instanceof String) return "'" + value + "'";
        if (value instanceof BigDecimal) return "decimal " + value;
        if (value instanceof Date) return "instant " + ((Date) value).getTime();
        if (value instanceof ByteBuffer) return text(org.apache.kafka.common.utils.Utils.toArray((ByteBuffer) value));
        if (value instanceof byte[]) return "bytes " + Base64.getEncoder().encodeToString((byte[]) value);
        List<String> parts = new ArrayList<>();
        if (value instanceof List) {
            ((List<?>) value).forEach(item -> parts.add(text(item)));
            return "[" + String.join(", ", parts) + "]";
        }
        if (value instanceof Map) {
            ((Map<?, ?>) value).forEach((key, item) -> parts.add(text(key) + ": " + text(item)));
            Collections.sort(parts);
            return "{" + String.join(", ", parts) + "}";
        }
        Struct struct = (Struct) value;
        for (Field field : struct.schema().fields()) {
            parts.add(field.name() + ": " + text(struct.getWithoutDefault(field.name())));
        }
        return "struct{" + String.join(", ", parts) + "}";
    }
}

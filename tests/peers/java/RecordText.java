import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Locale;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;

/**
 * What Kafka's own reader finds in record batches, as JSON. FixtureWriter, FixtureReader and the tests of kanat-protocol
 * agree on this form: bytes are hexadecimal, a run of one byte is "hh*count", null is null.
 */
final class RecordText {
    static final ObjectMapper JSON = new ObjectMapper();
    private static final int RUN_MIN = 64;

    private RecordText() {}

    static ArrayNode describe(MemoryRecords records) {
        ArrayNode batches = JSON.createArrayNode();
        for (RecordBatch batch : records.batches()) {
            batch.ensureValid();
            batches.add(describe(batch));
        }
        return batches;
    }

    private static ObjectNode describe(RecordBatch batch) {
        ObjectNode text = JSON.createObjectNode();
        text.put("baseOffset", batch.baseOffset());
        text.put("lastOffset", batch.lastOffset());
        text.put("leaderEpoch", batch.partitionLeaderEpoch());
        text.put("codec", batch.compressionType().name);
        text.put("timestampType", batch.timestampType().name.toLowerCase(Locale.ROOT));
        text.put("maxTimestamp", batch.maxTimestamp());
        text.put("producerId", batch.producerId());
        text.put("producerEpoch", batch.producerEpoch());
        text.put("baseSequence", batch.baseSequence());
        text.put("transactional", batch.isTransactional());
        text.put("control", batch.isControlBatch());
        ArrayNode records = text.putArray("records");
        for (Record record : batch) {
            record.ensureValid();
            records.add(describe(record));
            if (batch.isControlBatch()) {
                text.put("marker", marker(record));
            }
        }
        return text;
    }

    private static String marker(Record record) {
        return ControlRecordType.parse(record.key()).name().toLowerCase(Locale.ROOT) + " "
                + EndTransactionMarker.deserialize(record).coordinatorEpoch();
    }

    private static ObjectNode describe(Record record) {
        ObjectNode text = JSON.createObjectNode();
        text.put("offset", record.offset());
        text.put("timestamp", record.timestamp());
        text.put("key", bytes(record.key()));
        text.put("value", bytes(record.value()));
        ArrayNode headers = text.putArray("headers");
        for (Header header : record.headers()) {
            ArrayNode pair = headers.addArray();
            pair.add(header.key());
            pair.add(header.value() == null ? null : bytes(ByteBuffer.wrap(header.value())));
        }
        return text;
    }

    private static String bytes(ByteBuffer buffer) {
        if (buffer == null) {
            return null;
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        byte[] run = new byte[bytes.length];
        if (bytes.length >= RUN_MIN) {
            Arrays.fill(run, bytes[0]);
            if (Arrays.equals(run, bytes)) {
                return HexFormat.of().toHexDigits(bytes[0]) + "*" + bytes.length;
            }
        }
        return HexFormat.of().formatHex(bytes);
    }
}

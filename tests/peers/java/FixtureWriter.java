import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;

/**
 * Writes the fixtures of crates/protocol/tests/java_fixtures.rs with the record classes of Kafka's producer, broker and
 * log cleaner: for each codec a file of batches and a file of what Kafka's own reader finds in them.
 *
 * To make them anew: tests/peers/java.sh FixtureWriter crates/protocol/tests/fixtures
 */
public final class FixtureWriter {
    private static final long NOW = 1_700_000_000_000L;
    private static final long TWO_MONTHS = 5_184_000_000L;
    private static final int LEADER_EPOCH = 9;

    private FixtureWriter() {}

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        Files.createDirectories(folder);
        for (CompressionType codec : CompressionType.values()) {
            MemoryRecords records = log(codec);
            ByteBuffer bytes = records.buffer().duplicate();
            byte[] file = new byte[bytes.remaining()];
            bytes.get(file);
            Files.write(folder.resolve(codec.name + ".bin"), file);
            String text = RecordText.JSON.writerWithDefaultPrettyPrinter().writeValueAsString(RecordText.describe(records));
            Files.writeString(folder.resolve(codec.name + ".json"), text + "\n");
        }
    }

    /** Every kind of batch a fetch can meet; the last one is cut off, as at the byte limit of a fetch. */
    private static MemoryRecords log(CompressionType codec) {
        Compression compression = Compression.of(codec).build();
        ByteBuffer file = ByteBuffer.allocate(1 << 20);
        file.put(plain(compression, 100).buffer());
        file.put(transactional(compression, 200).buffer());
        file.put(MemoryRecords.withEndTransactionMarker(
                202, NOW, LEADER_EPOCH, 4711, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 7)).buffer());
        file.put(MemoryRecords.withEndTransactionMarker(
                203, NOW, LEADER_EPOCH, 4712, (short) 0, new EndTransactionMarker(ControlRecordType.ABORT, 8)).buffer());
        file.put(appendTime(compression, 300).buffer());
        file.put(compacted(plain(compression, 400)));
        file.put(emptied(transactional(compression, 500)));
        ByteBuffer last = plain(compression, 600).buffer();
        last.limit(last.limit() - 3);
        file.put(last);
        file.flip();
        return MemoryRecords.readableRecords(file);
    }

    private static MemoryRecords plain(Compression compression, long baseOffset) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(
                ByteBuffer.allocate(4096), RecordBatch.CURRENT_MAGIC_VALUE, compression, TimestampType.CREATE_TIME,
                baseOffset, RecordBatch.NO_TIMESTAMP, RecordBatch.NO_PRODUCER_ID, RecordBatch.NO_PRODUCER_EPOCH,
                RecordBatch.NO_SEQUENCE, false, LEADER_EPOCH);
        Header[] headers = {
            new RecordHeader("trace", text("0123")), new RecordHeader("trace", text("4567")),
            new RecordHeader("none", null), new RecordHeader("", new byte[0]), new RecordHeader("grüße", new byte[] {-1, 0}),
        };
        builder.append(NOW, text("key"), text("value"), headers);
        builder.append(NOW + TWO_MONTHS, null, text("no key, two months later"));
        builder.append(NOW - TWO_MONTHS, text("tombstone, two months earlier"), (byte[]) null);
        builder.append(NOW, new byte[0], new byte[0]);
        for (int index = 0; index < 20; index++) {
            builder.append(NOW + index, text("k" + index % 5), text("{\"id\": " + index + ", \"name\": \"some text\"}"));
        }
        if (compression.type() != CompressionType.NONE) {
            // Several blocks of every framing.
            builder.append(NOW, text("long"), text("x".repeat(150_000)));
        }
        return builder.build();
    }

    private static MemoryRecords transactional(Compression compression, long baseOffset) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(
                ByteBuffer.allocate(4096), RecordBatch.CURRENT_MAGIC_VALUE, compression, TimestampType.CREATE_TIME,
                baseOffset, RecordBatch.NO_TIMESTAMP, 4711, (short) 3, 100, true, LEADER_EPOCH);
        builder.append(NOW, text("a"), text("1"));
        builder.append(NOW + 1, text("b"), text("2"));
        return builder.build();
    }

    private static MemoryRecords appendTime(Compression compression, long baseOffset) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(
                ByteBuffer.allocate(4096), RecordBatch.CURRENT_MAGIC_VALUE, compression, TimestampType.LOG_APPEND_TIME,
                baseOffset, NOW + 123_456, RecordBatch.NO_PRODUCER_ID, RecordBatch.NO_PRODUCER_EPOCH,
                RecordBatch.NO_SEQUENCE, false, LEADER_EPOCH);
        builder.append(1, text("early"), text("1"));
        builder.append(2, text("late"), text("2"));
        return builder.build();
    }

    /** What the log cleaner leaves: every third record, tombstones with a delete horizon, the last offset kept. */
    private static ByteBuffer compacted(MemoryRecords records) {
        return filter(records, RecordBatchRetention.SOME);
    }

    /** What the log cleaner leaves of a producer's last batch when all its records are superseded. */
    private static ByteBuffer emptied(MemoryRecords records) {
        return filter(records, RecordBatchRetention.NONE);
    }

    private enum RecordBatchRetention { SOME, NONE }

    private static ByteBuffer filter(MemoryRecords records, RecordBatchRetention retention) {
        MemoryRecords.RecordFilter filter = new MemoryRecords.RecordFilter(NOW, 60_000) {
            @Override
            protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
                return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
            }

            @Override
            protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
                return retention == RecordBatchRetention.SOME && record.offset() % 3 == 0;
            }
        };
        ByteBuffer output = ByteBuffer.allocate(1 << 20);
        output = records.filterTo(filter, output, BufferSupplier.NO_CACHING).outputBuffer();
        output.flip();
        return output;
    }

    private static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}

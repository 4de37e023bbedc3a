import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.MemoryRecords;

/**
 * Reads record batches that kanat-protocol wrote with Kafka's own reader, checksums included, and compares them with
 * what was meant to be written. Exit code 1 at the first difference.
 *
 * cargo run -p kanat-protocol --example write_batches -- FOLDER && tests/peers/java.sh FixtureReader FOLDER
 */
public final class FixtureReader {
    private FixtureReader() {}

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        for (CompressionType codec : CompressionType.values()) {
            ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(folder.resolve(codec.name + ".bin")));
            // Through text, so that numbers of one value have one type.
            JsonNode found = RecordText.JSON.readTree(RecordText.describe(MemoryRecords.readableRecords(bytes)).toString());
            JsonNode expected = RecordText.JSON.readTree(folder.resolve(codec.name + ".json").toFile());
            if (found.isEmpty() || !found.equals(expected)) {
                System.err.println(codec.name + ": found\n" + found + "\nexpected\n" + expected);
                System.exit(1);
            }
            System.out.println(codec.name + ": " + found.size() + " batches as expected");
        }
    }
}

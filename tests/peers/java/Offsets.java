import java.io.BufferedWriter;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;

/**
 * usage: Offsets BOOTSTRAP TOPIC
 *
 * <p>Prints "partition offset" of every record that Kafka's own consumer sees under read_committed: what a complete copy of the
 * topic must hold.
 */
public final class Offsets {
    public static void main(String[] args) {
        try (PrintWriter out = new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out), 1 << 18))) {
            Peers.readAll(args[0], args[1], "read_committed", record -> {
                out.print(record.partition());
                out.print(' ');
                out.print(record.offset());
                out.print('\n');
            });
        }
    }
}

import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;

/**
 * usage: Transaction BOOTSTRAP ID TOPIC VALUE
 *
 * <p>Opens a transaction under a transactional id, writes one record to partition 0 and prints "open" once it is acknowledged. Commits
 * when a line comes in, and prints "committed" or the name of the exception.
 */
public final class Transaction {
    private Transaction() {}

    public static void main(String[] args) throws Exception {
        KafkaProducer<byte[], byte[]> producer = Peers.producer(args[0], Map.of("transactional.id", args[1]));
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(args[2], 0, null, args[3].getBytes(StandardCharsets.UTF_8))).get();
        System.out.println("open");
        System.in.read();
        try {
            producer.commitTransaction();
            System.out.println("committed");
        } catch (KafkaException failure) {
            System.out.println(failure.getClass().getSimpleName());
        }
        producer.close();
    }
}

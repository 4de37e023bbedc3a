import java.util.Map;

/** usage: CreateTopic BOOTSTRAP TOPIC PARTITIONS: an empty topic that keeps its records whatever their timestamps. */
public final class CreateTopic {
    public static void main(String[] args) throws Exception {
        Peers.createTopic(args[0], args[1], Integer.parseInt(args[2]), Map.of());
    }
}

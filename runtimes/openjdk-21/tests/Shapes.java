import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;

/** Virtual threads, records, sealed types and patterns: what Java 21 has that 17 had not. */
public class Shapes {
    sealed interface Shape permits Circle, Box {}

    record Circle(int radius) implements Shape {}

    record Box(int width, int height) implements Shape {}

    static int measure(Shape shape) {
        return switch (shape) {
            case Circle(int radius) when radius == 0 -> 0;
            case Circle(int radius) -> 3 * radius * radius;
            case Box(int width, int height) -> width * height;
        };
    }

    public static void main(String[] args) throws Exception {
        List<Shape> shapes = List.of(new Circle(2), new Box(3, 4), new Circle(0));
        var sum = new AtomicLong();
        var virtual = new AtomicLong();
        try (var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            IntStream.range(0, 2_000).forEach(i -> executor.submit(() -> {
                Thread.sleep(Duration.ofMillis(10));
                sum.addAndGet(measure(shapes.get(i % 3)));
                return virtual.addAndGet(Thread.currentThread().isVirtual() ? 1 : 0);
            }));
        }
        System.out.println(shapes.get(1) + " " + sum + " in " + virtual + " virtual threads");
    }
}

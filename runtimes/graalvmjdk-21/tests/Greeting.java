/** What a native image has to bring along of the class library. */
public record Greeting(String text) {
    public static void main(String[] args) throws InterruptedException {
        Thread.ofVirtual().start(() -> System.out.println(
            new Greeting("hello") + " from a " + (Thread.currentThread().isVirtual() ? "virtual" : "platform") + " thread"
        )).join();
    }
}

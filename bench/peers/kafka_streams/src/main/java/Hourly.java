import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.Stores;

/**
 * Calls and bytes per subscription and hour, exactly once, in memory with a changelog.
 *
 * <p>Tuned for throughput: an in-memory store behind a cache, two threads, a commit as often as our consumer's, large
 * fetches, a streaming JSON parser that reads two numbers, and the key already there, so that nothing is repartitioned.
 * Arguments: bootstrap servers, topic, output topic, state folder, calls, calls before the clock starts.
 */
public final class Hourly {
    private record Call(long startedAt, long size) {}

    private record Totals(long calls, long bytes) {}

    private static final JsonFactory JSON = new JsonFactory();
    private static final Duration HOUR = Duration.ofHours(1);

    public static void main(String[] given) throws Exception {
        long calls = Long.parseLong(given[4]);
        long warm = Long.parseLong(given[5]);
        AtomicLong counted = new AtomicLong();
        long[] began = new long[2];
        long[] ended = new long[2];
        CountDownLatch done = new CountDownLatch(1);

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(
                        given[1],
                        Consumed.with(Serdes.String(), callSerde())
                                .withTimestampExtractor((record, before) -> ((Call) record.value()).startedAt()))
                .groupByKey(Grouped.with(Serdes.String(), callSerde()))
                .windowedBy(TimeWindows.ofSizeAndGrace(HOUR, HOUR.multipliedBy(24)))
                .aggregate(
                        () -> new Totals(0, 0),
                        (key, call, totals) -> {
                            long number = counted.incrementAndGet();
                            if (number == warm) {
                                mark(began);
                            }
                            if (number == calls) {
                                mark(ended);
                                done.countDown();
                            }
                            return new Totals(totals.calls() + 1, totals.bytes() + call.size());
                        },
                        Materialized.<String, Totals>as(
                                        Stores.inMemoryWindowStore("hours", HOUR.multipliedBy(26), HOUR, false))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(totalsSerde())
                                .withCachingEnabled())
                .toStream((window, totals) -> window.key())
                .to(given[2], Produced.with(Serdes.String(), totalsSerde()));

        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, given[2]);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given[0]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, given[3]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 250);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);

        try (KafkaStreams streams = new KafkaStreams(builder.build(), properties)) {
            streams.setUncaughtExceptionHandler(problem -> {
                problem.printStackTrace();
                System.exit(1);
                return null;
            });
            streams.start();
            done.await();
            System.out.printf(
                    "{\"calls\": %d, \"seconds\": %.6f, \"cpu\": %.6f}%n",
                    calls - warm, (ended[0] - began[0]) / 1e9, (ended[1] - began[1]) / 1e9);
        }
    }

    private static void mark(long[] into) {
        into[0] = System.nanoTime();
        into[1] = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getProcessCpuTime();
    }

    private static Serde<Call> callSerde() {
        return Serdes.serdeFrom(
                (topic, call) -> {
                    throw new UnsupportedOperationException("calls are only read");
                },
                (topic, bytes) -> parse(bytes));
    }

    /** An array of one entry: its `started_at`, and the `size` of its `response`. */
    private static Call parse(byte[] bytes) {
        long startedAt = 0;
        long size = 0;
        try (JsonParser parser = JSON.createParser(bytes)) {
            parser.nextToken();
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("started_at")) {
                    startedAt = parser.getLongValue();
                } else if (name.equals("response")) {
                    while (parser.nextToken() == JsonToken.FIELD_NAME) {
                        String inner = parser.currentName();
                        parser.nextToken();
                        if (inner.equals("size")) {
                            size = parser.getLongValue();
                        } else {
                            parser.skipChildren();
                        }
                    }
                } else {
                    parser.skipChildren();
                }
            }
        } catch (IOException problem) {
            throw new IllegalArgumentException(problem);
        }
        return new Call(startedAt, size);
    }

    private static Serde<Totals> totalsSerde() {
        return Serdes.serdeFrom(
                (topic, totals) -> totals == null
                        ? null
                        : ByteBuffer.allocate(16).putLong(totals.calls()).putLong(totals.bytes()).array(),
                (topic, bytes) -> {
                    if (bytes == null) {
                        return null;
                    }
                    ByteBuffer buffer = ByteBuffer.wrap(bytes);
                    return new Totals(buffer.getLong(), buffer.getLong());
                });
    }
}

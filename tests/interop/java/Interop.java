// SPDX-License-Identifier: MIT
// The other side of the tests beside Kafka's own client: records as lines with fields between tabs, bytes in
// hexadecimal, "-" for null. Fields: key, value, timestamp, and a header as NAME=VALUE in each further one.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Utils;

public class Interop {
    static String text(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }

    static byte[] bytes(String text) {
        return text.equals("-") ? null : HexFormat.of().parseHex(text);
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static BufferedReader lines() {
        return new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    }

    static Properties settings(String hosts) {
        Properties all = new Properties();
        all.put("bootstrap.servers", hosts);
        all.put("key.serializer", ByteArraySerializer.class.getName());
        all.put("value.serializer", ByteArraySerializer.class.getName());
        all.put("key.deserializer", ByteArrayDeserializer.class.getName());
        all.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return all;
    }

    /** produce HOSTS TOPIC: records on stdin; partition, offset, timestamp of each. */
    static void produce(String hosts, String topic) throws Exception {
        Properties all = settings(hosts);
        all.put("acks", "all");
        BufferedReader in = lines();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(all)) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] fields = line.split("\t");
                Long when = fields[2].equals("-") ? null : Long.valueOf(fields[2]);
                ProducerRecord<byte[], byte[]> record =
                    new ProducerRecord<>(topic, null, when, bytes(fields[0]), bytes(fields[1]));
                for (int i = 3; i < fields.length; i++) {
                    int at = fields[i].indexOf('=');
                    record.headers().add(fields[i].substring(0, at), bytes(fields[i].substring(at + 1)));
                }
                RecordMetadata where = producer.send(record).get();
                say(where.partition() + "\t" + where.offset() + "\t" + where.timestamp());
            }
        }
    }

    static void show(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder line = new StringBuilder("record\t" + record.partition() + "\t" + record.offset() + "\t"
            + record.timestamp() + "\t" + text(record.key()) + "\t" + text(record.value()));
        for (Header header : record.headers()) {
            line.append("\t").append(header.key()).append("=").append(text(header.value()));
        }
        say(line.toString());
    }

    /** read HOSTS TOPIC COUNT: the topic's first records, of all partitions. */
    static void read(String hosts, String topic, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(hosts))) {
            List<TopicPartition> parts = consumer.partitionsFor(topic).stream()
                .map(part -> new TopicPartition(topic, part.partition())).collect(Collectors.toList());
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            int got = 0;
            while (got < count) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    show(record);
                    got++;
                }
            }
        }
    }

    static String numbers(Collection<TopicPartition> parts) {
        return parts.stream().map(part -> Integer.toString(part.partition())).collect(Collectors.joining(","));
    }

    /** join HOSTS TOPIC GROUP: a member that commits what it has shown, until a line comes. */
    static void join(String hosts, String topic, String group) throws Exception {
        Properties all = settings(hosts);
        all.put("group.id", group);
        all.put("enable.auto.commit", "false");
        all.put("auto.offset.reset", "earliest");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(all)) {
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> parts) {
                    say("revoked\t" + numbers(parts));
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> parts) {
                    say("assigned\t" + numbers(parts));
                }
            });
            while (System.in.available() == 0) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    show(record);
                }
                consumer.commitSync();
            }
        }
        say("left");
    }

    /** partition COUNT: of the keys on stdin. */
    static void partition(int count) throws Exception {
        BufferedReader in = lines();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            say(Integer.toString(Utils.toPositive(Utils.murmur2(bytes(line))) % count));
        }
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args[1], args[2]);
            case "read" -> read(args[1], args[2], Integer.parseInt(args[3]));
            case "join" -> join(args[1], args[2], args[3]);
            case "partition" -> partition(Integer.parseInt(args[1]));
            default -> throw new IllegalArgumentException(Arrays.toString(args));
        }
    }
}

"""The log: ordered records per topic and partition, in memory, on disk, on Kafka."""

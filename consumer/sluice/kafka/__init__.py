"""Kafka and Avro: the only package that touches confluent_kafka."""

"""Real Kafka and real PostgreSQL for tests, benches and trying things by hand.

``start_kafka`` and ``start_postgres`` are context managers; ``python -m tests.parts`` prints
addresses and waits.
Each is taken from an address in the environment, else run in a container, else from published binaries.
"""

from tests.parts.kafka import KafkaServer, start_kafka
from tests.parts.postgres import PostgresServer, start_postgres
from tests.parts.process import PartMissing

__all__ = ["KafkaServer", "PartMissing", "PostgresServer", "start_kafka", "start_postgres"]

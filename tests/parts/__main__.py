"""Starts Kafka and PostgreSQL, prints how to reach them, and waits until it is interrupted."""

import signal
import threading

from tests.parts import kafka, postgres


def main() -> None:
    """Run both until SIGINT or SIGTERM."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with kafka.start_kafka() as broker, postgres.start_postgres() as database:
        print(f"export {kafka.ADDRESS}={broker.bootstrap_servers}   # {broker.how}")
        print(f"export {postgres.ADDRESS}={database.url}   # {database.how}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()

"""The stream: everything that talks to Kafka. Faust and aiokafka are imported here and nowhere else."""

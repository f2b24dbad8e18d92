"""AWS Lambda: functions of container images run as processes, and event source mappings that read Kinesis streams."""

# Small, and easy to remove.
region                             = "eu-central-1"
name                               = "streamgauge-dev"
table_name                         = "device-statistics-dev"
deletion_protection                = false
log_retention_days                 = 7
stream_mode                        = "PROVISIONED"
stream_shard_count                 = 1
stream_retention_hours             = 24
throttling_rate_limit              = 50
throttling_burst_limit             = 100
archive_buffering_interval_seconds = 60
curated_buffering_interval_seconds = 60
athena_bytes_scanned_max           = 10737418240

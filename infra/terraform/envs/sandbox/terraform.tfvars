# Small enough to run for a day, and completely removed by a destroy: it has no real data.
environment = "sandbox"
region      = "eu-central-1"

# --- Ground: two zones, each way into AWS in one of them
zones                    = ["a", "b"]
interface_endpoint_zones = 1
log_retention_days       = 7
deletion_protection      = false
key_deletion_days        = 7

# --- Stream: one shard of each, on demand costs more at rest
transactions_shards     = 1
decisions_shards        = 1
stream_retention_hours  = 24
api_requests_per_second = 20
api_burst               = 40
waf                     = false

# --- Models
scoring_instance_type  = "ml.c5.large"
scoring_instances      = { min = 1, max = 1 }
job_instance_type      = "ml.m5.large"
training_instance_type = "ml.m5.xlarge"
job_volume_gb          = 20
job_hours              = 1
rollout                = { canary_percent = 50, watch_seconds = 120, timeout_seconds = 3600 }
manual_approval        = false
daily_enabled          = false # start it manually after sending traffic
backfill_capacity      = { cpus = 8, memory_gb = 32, disk_gb = 100 }

monthly_budget_usd = 200

# Production of a bank: survives the loss of a zone, keeps logs for a year, and a person approves each model.
environment = "production"
region      = "eu-central-1"

# --- Ground
zones                    = ["a", "b", "c"]
interface_endpoint_zones = 3
log_retention_days       = 365
deletion_protection      = true
key_deletion_days        = 30

# --- Stream: on demand, a week to repair whatever happens
transactions_shards           = 0
decisions_shards              = 0
stream_retention_hours        = 168
score_provisioned_concurrency = 2
api_requests_per_second       = 500
api_burst                     = 1000
waf                           = true
silence_alarm_minutes         = 5

# --- Models
scoring_instance_type  = "ml.c5.xlarge"
scoring_instances      = { min = 3, max = 12 }
job_instance_type      = "ml.m5.2xlarge"
training_instance_type = "ml.m5.4xlarge"
job_volume_gb          = 200
job_hours              = 6
rollout                = { canary_percent = 10, watch_seconds = 900, timeout_seconds = 14400 }
manual_approval        = true
approval_hours         = 168
approval_poll_seconds  = 600
daily_enabled          = true
backfill_capacity      = { cpus = 64, memory_gb = 256, disk_gb = 2000 }

monthly_budget_usd = 6000

# moto, the local implementation of AWS: the same plan with minimal sizes and no waiting. Images are only names, because
# it runs the programs of this checkout. The account is moto's.
environment = "moto"
region      = "eu-central-1"
image_tag   = "local"

# --- Ground
zones                    = ["a", "b"]
interface_endpoint_zones = 1
log_retention_days       = 1
deletion_protection      = false
key_deletion_days        = 7

# --- Stream
transactions_shards    = 2
decisions_shards       = 2
stream_retention_hours = 24

# --- Models
champion_model_data_url = "s3://cardwatch-moto-releases-123456789012/models/first/model.tar.gz"
scoring_instances       = { min = 1, max = 2 }
job_volume_gb           = 10
job_hours               = 1
rollout                 = { canary_percent = 50, watch_seconds = 0, timeout_seconds = 600 }
manual_approval         = false
approval_hours          = 1
approval_poll_seconds   = 2
daily_settle_seconds    = 0
endpoint_poll_seconds   = 1

monthly_budget_usd = 10

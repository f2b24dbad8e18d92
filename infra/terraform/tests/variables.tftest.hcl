# Invalid values of variables are rejected. tests/infra/terraform checks that those of the environments are valid.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  environment             = "test"
  region                  = "eu-central-1"
  image_tag               = "abc"
  champion_model_data_url = "s3://models-of-another-account/models/first/model.tar.gz"
  monthly_budget_usd      = 100
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

# Validations of single variables. `validate` accepts day 31 of a month as a schedule, like the two below.
run "nonsense" {
  command = plan

  variables {
    name           = "Card Watch"
    daily_schedule = "cron(55 23 31 * ? *)"

    # Names and images
    region      = "Frankfurt"
    tags        = { Project = "other" }
    image_tag   = "latest"
    images      = { sorcery = "registry/sorcery:1" }
    alarm_email = "nobody"

    # Ground
    vpc_cidr            = "10.0.0.0/8"
    zones               = ["a"]
    interface_endpoints = ["sqs"]
    log_retention_days  = 8
    key_deletion_days   = 1
    old_version_days    = 0
    capture_days        = 0.5

    # Stream and API
    ingress                       = "carrier pigeons"
    control_key_secret_arn        = "the key itself"
    transactions_shards           = -1
    decisions_shards              = 1.5
    stream_retention_hours        = 1
    stream_batch_size             = 0
    stream_memory_mb              = 128
    stream_timeout_seconds        = 901
    deadline_ms                   = 1
    score_memory_mb               = 128
    score_timeout_seconds         = 30
    score_provisioned_concurrency = -1
    api_requests_per_second       = 0
    api_burst                     = 0
    api_requests_per_day          = -1
    waf_requests_per_address      = 1
    lag_alarm_seconds             = 0
    silence_alarm_minutes         = -1

    # Endpoint
    champion_model_data_url          = "/tmp/model.tar.gz"
    challenger_model_data_url        = "s3://bucket/model.tar.gz"
    scoring_instance_type            = "ml.p5.48xlarge"
    scoring_instances                = { min = 3, max = 2 }
    scoring_invocations_per_instance = 0
    capture_percent                  = 0
    endpoint_slow_ms                 = 0
    rollout                          = { canary_percent = 10, watch_seconds = 600, timeout_seconds = 1200 }

    # Retraining
    approval_hours             = 0
    model_reader_accounts      = ["everybody"]
    job_instance_type          = "m5.large"
    training_instance_type     = "ml.t2.nano"
    job_volume_gb              = 1
    job_hours                  = 25
    model_reserved_concurrency = 0
    daily_settle_seconds       = -1
    endpoint_poll_seconds      = 0
    emr_release                = "latest"
    backfill_capacity          = { cpus = 4, memory_gb = 4, disk_gb = 4 }
    monthly_budget_usd         = 0
  }

  expect_failures = [
    var.name, var.daily_schedule, var.region, var.tags, var.image_tag, var.images, var.alarm_email, var.vpc_cidr,
    var.zones, var.interface_endpoints, var.log_retention_days, var.key_deletion_days, var.old_version_days, var.capture_days, var.ingress,
    var.control_key_secret_arn, var.transactions_shards, var.decisions_shards, var.stream_retention_hours, var.stream_batch_size,
    var.stream_memory_mb, var.stream_timeout_seconds, var.deadline_ms, var.score_memory_mb,
    var.score_timeout_seconds, var.score_provisioned_concurrency, var.api_requests_per_second, var.api_burst,
    var.api_requests_per_day, var.waf_requests_per_address, var.lag_alarm_seconds, var.silence_alarm_minutes,
    var.champion_model_data_url, var.challenger_model_data_url, var.scoring_instance_type, var.scoring_instances,
    var.scoring_invocations_per_instance, var.capture_percent, var.endpoint_slow_ms, var.rollout,
    var.approval_hours, var.model_reader_accounts, var.job_instance_type, var.training_instance_type,
    var.job_volume_gb, var.job_hours, var.model_reserved_concurrency, var.daily_settle_seconds,
    var.endpoint_poll_seconds, var.emr_release, var.backfill_capacity, var.monthly_budget_usd,
  ]
}

# A validation that depends on another variable is skipped where the other one is invalid. An execution cannot poll
# 10,080 times: a poll takes nine of its 25,000 events.
run "what_does_not_fit_together" {
  command = plan

  variables {
    name           = "cardwatch-of-a-bank"
    environment    = "production"
    daily_schedule = "cron(30 2 * * ? *)" # on the next day

    zones                         = ["a", "b"]
    interface_endpoint_zones      = 3
    stream_retention_hours        = 24
    stream_give_up_seconds        = 86400
    transactions_shards           = 10
    stream_reserved_concurrency   = 5
    score_provisioned_concurrency = 10
    score_reserved_concurrency    = 5
    approval_hours                = 168
    approval_poll_seconds         = 60
    replicas = {
      logs = { bucket_arn = "arn:aws:s3:::copies", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/copies" }
    }
  }

  expect_failures = [
    var.environment, var.daily_schedule, var.interface_endpoint_zones, var.stream_give_up_seconds,
    var.stream_reserved_concurrency, var.score_reserved_concurrency, var.approval_poll_seconds, var.replicas,
  ]
}

run "a_cron_of_another_house" {
  command = plan

  variables {
    environment    = "Test_1"
    daily_schedule = "cron(55 23 * * *)"
  }

  expect_failures = [var.environment, var.daily_schedule]
}

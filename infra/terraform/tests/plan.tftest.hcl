# A plan by the real provider without credentials. Responses of AWS are overridden below. These assertions are about
# specific resources; tests/infra/terraform checks rules for all resources.

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
  model_reader_accounts   = ["210987654321"]
  monthly_budget_usd      = 100
}

# --- What AWS would answer ----------------------------------------------------------------------------------------

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_resource {
  target          = aws_kms_key.data
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-central-1:123456789012:key/data" }
}

override_resource {
  target          = aws_kms_key.logs
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-central-1:123456789012:key/logs" }
}

override_resource {
  target          = module.data_bucket.aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::cardwatch-test-data-123456789012" }
}

override_resource {
  target          = aws_iam_role.model
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:role/cardwatch-test-model" }
}

override_resource {
  target          = aws_iam_role.scoring
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:role/cardwatch-test-scoring" }
}

# --- Ingress by Kinesis, the default ------------------------------------------------------------------------------

run "plan" {
  command = plan

  assert {
    condition     = module.data_bucket.kms_key_arn == aws_kms_key.data.arn
    error_message = "The data bucket is not encrypted with the key of data."
  }

  assert {
    condition = alltrue([
      for queue in concat(values(aws_sqs_queue.queues), [aws_sqs_queue.unstarted]) : queue.kms_master_key_id == aws_kms_key.data.arn
    ])
    error_message = "A queue is not encrypted with the key of data."
  }

  assert {
    condition = alltrue([
      for stream in concat(aws_kinesis_stream.transactions, [aws_kinesis_stream.decisions]) :
      stream.encryption_type == "KMS" && stream.kms_key_id == aws_kms_key.data.arn
    ])
    error_message = "A stream is not encrypted with the key of data."
  }

  assert {
    condition     = aws_dynamodb_table.cards.server_side_encryption[0].enabled && aws_dynamodb_table.cards.server_side_encryption[0].kms_key_arn == aws_kms_key.data.arn
    error_message = "Card states are not encrypted with the key of data."
  }

  assert {
    condition     = aws_dynamodb_table.cards.point_in_time_recovery[0].enabled
    error_message = "Card states have no point-in-time recovery."
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == aws_kms_key.data.arn
    error_message = "The topic of alarms is not encrypted with the key of data."
  }

  assert {
    condition     = aws_kms_key.data.enable_key_rotation && aws_kms_key.logs.enable_key_rotation
    error_message = "A key is never rotated."
  }

  assert {
    condition     = aws_api_gateway_method.score.authorization == "AWS_IAM" && aws_api_gateway_method.score.api_key_required
    error_message = "The API answers unauthenticated callers."
  }

  assert {
    condition     = aws_sagemaker_model.scoring["champion"].enable_network_isolation && length(aws_sagemaker_model.scoring) == 1
    error_message = "The scoring container has network access, or there is a challenger without a configured model."
  }

  assert {
    condition     = length(aws_sagemaker_endpoint_configuration.scoring.shadow_production_variants) == 0
    error_message = "There is a shadow variant without a challenger."
  }

  assert {
    condition = alltrue([
      for alarm in aws_sagemaker_endpoint.scoring.deployment_config[0].auto_rollback_configuration[0].alarms :
      contains([for made in aws_cloudwatch_metric_alarm.models : made.alarm_name], alarm.alarm_name)
    ]) && length(aws_sagemaker_endpoint.scoring.deployment_config[0].auto_rollback_configuration[0].alarms) == 2
    error_message = "A rollout watches an alarm that does not exist."
  }

  assert {
    condition     = aws_sagemaker_endpoint.scoring.deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].type == "ALL_AT_ONCE"
    error_message = "A single instance has a canary."
  }

  # `validate` accepts any text for these two.
  assert {
    condition     = aws_appautoscaling_target.scoring.scalable_dimension == "sagemaker:variant:DesiredInstanceCount" && aws_appautoscaling_target.scoring.min_capacity <= aws_appautoscaling_target.scoring.max_capacity
    error_message = "The endpoint does not scale."
  }

  assert {
    condition     = jsondecode(aws_scheduler_schedule.daily.target[0].input).scheduled_at == "<aws.scheduler.scheduled-time>"
    error_message = "The schedule does not pass its scheduled time."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.drift.event_pattern) == { source = ["cardwatch"], "detail-type" = ["DriftDetected"] }
    error_message = "The rule matches other events than drift."
  }

  # --- Who may do what

  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.deciding.statement : !contains(statement.actions, "secretsmanager:GetSecretValue")
    ]) && !contains(keys(aws_vpc_endpoint.interface), "secretsmanager")
    error_message = "Without a control share the functions read a secret."
  }

  assert {
    condition = toset(flatten([
      for statement in data.aws_iam_policy_document.scoring.statement : statement.resources if statement.sid == "ReadModels"
      ])) == toset([
      "${module.data_bucket.arn}/models/*",
      "arn:aws:s3:::models-of-another-account/models/first/model.tar.gz",
    ])
    error_message = "The endpoint reads other objects than models."
  }

  assert {
    condition = flatten([
      for statement in data.aws_iam_policy_document.model.statement : statement.resources if contains(statement.actions, "iam:PassRole")
    ]) == [aws_iam_role.scoring.arn]
    error_message = "The function model may pass another role than that of the endpoint."
  }

  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.models.statement :
      one(statement.principals).identifiers == toset([aws_iam_role.model.arn]) if contains(statement.actions, "sagemaker:CreateModelPackage")
    ])
    error_message = "Another role than that of the function model may register models."
  }

  assert {
    condition = alltrue([
      for name, document in data.aws_iam_policy_document.job : alltrue([
        for statement in document.statement : !contains(statement.actions, "events:PutEvents")
      ])
    ])
    error_message = "Every job may request a retraining."
  }
}

# --- The other ways to have it ------------------------------------------------------------------------------------

run "several_instances_get_a_new_model_in_parts" {
  command = plan

  variables {
    scoring_instances = { min = 2, max = 4 }
  }

  assert {
    condition     = aws_sagemaker_endpoint.scoring.deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].type == "CANARY"
    error_message = "A rollout has no canary."
  }
}

run "a_challenger_scores_in_the_shadow" {
  command = plan

  variables {
    challenger_model_data_url = "s3://models-of-another-account/models/second/model.tar.gz"
  }

  assert {
    condition     = aws_sagemaker_endpoint_configuration.scoring.shadow_production_variants[0].variant_name == "challenger"
    error_message = "The challenger is not a shadow variant."
  }

  assert {
    condition     = aws_sagemaker_model.scoring["challenger"].name != aws_sagemaker_model.scoring["champion"].name
    error_message = "Challenger and champion are the same model."
  }
}

run "transactions_come_by_msk" {
  command = plan

  variables {
    ingress = "msk"
  }

  assert {
    condition     = length(aws_kinesis_stream.transactions) == 0 && length(aws_msk_serverless_cluster.transactions) == 1
    error_message = "There are two sources of transactions, or none."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.msk) == 1 && length(aws_lambda_event_source_mapping.kinesis) == 0
    error_message = "The stream function does not read from MSK."
  }
}

run "a_neighbour_shares_what_an_account_has_once" {
  command = plan

  variables {
    own_job_log_groups       = false
    set_api_gateway_log_role = false
    daily_enabled            = false
  }

  assert {
    condition     = length(aws_cloudwatch_log_group.jobs) == 0 && length(aws_api_gateway_account.logs) == 0
    error_message = "It manages a resource that exists once per account."
  }

  assert {
    condition     = aws_scheduler_schedule.daily.state == "DISABLED" && length(aws_cloudwatch_metric_alarm.daily_missing) == 0
    error_message = "There is an alarm for a disabled schedule."
  }
}

run "the_functions_read_the_key_of_the_control_share" {
  command = plan

  variables {
    control_key_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cardwatch-control-AbCdEf"
  }

  assert {
    condition     = local.function_environment["CARDWATCH_CONTROL_KEY_SECRET"] == var.control_key_secret_arn
    error_message = "A function that decides does not know where the key of the control share is."
  }

  assert {
    condition = flatten([
      for statement in data.aws_iam_policy_document.deciding.statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")
    ]) == [var.control_key_secret_arn]
    error_message = "The functions that decide may not read the key of the control share, or read other secrets."
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "secretsmanager")
    error_message = "Secrets Manager cannot be reached."
  }
}

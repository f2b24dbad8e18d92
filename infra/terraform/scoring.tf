# The scoring endpoint, with the same container as on a single machine. Terraform creates the first champion; afterwards
# the state machine `retrain` creates models and configurations and updates the endpoint. Therefore Terraform ignores
# changes (`ignore_changes = all`): an apply would revert a promotion or delete a configuration in use.

locals {
  # The name contains a hash of the content, because models and configurations of SageMaker are immutable.
  models = {
    for variant, model_data_url in { champion = var.champion_model_data_url, challenger = var.challenger_model_data_url } :
    variant => {
      model_data_url = model_data_url
      name           = "${local.prefix}-${variant}-${substr(sha256("${local.images["scoring"]} ${model_data_url}"), 0, 8)}"
    }
    if model_data_url != ""
  }

  # Later models are in the data bucket; the first ones may be in another bucket.
  first_model_arns = [
    for model in values(local.models) : "arn:${local.partition}:s3:::${trimprefix(model.model_data_url, "s3://")}"
  ]

  # Also used for retrained models, which get the same environment.
  model_environment = {
    CARDWATCH_HOME         = "/tmp/cardwatch"
    CARDWATCH_LOG_FORMAT   = "json"
    CARDWATCH_MODEL_FOLDER = "/opt/ml/model"
  }

  # A canary is at most half of the instances, so it needs two instances.
  rolls_out_in_parts = var.scoring_instances.min >= 2

  endpoint_configuration = substr(sha256(jsonencode([
    local.models, var.scoring_instance_type, var.scoring_instances, var.capture_percent,
  ])), 0, 8)
}

resource "aws_sagemaker_model" "scoring" {
  for_each = local.models

  name                     = each.value.name
  execution_role_arn       = aws_iam_role.scoring.arn
  enable_network_isolation = true # the container makes no outgoing calls

  primary_container {
    image          = local.images["scoring"]
    model_data_url = each.value.model_data_url
    environment    = local.model_environment
  }

  vpc_config {
    subnets            = local.private_subnet_ids
    security_group_ids = [aws_security_group.workloads.id]
  }

  lifecycle {
    ignore_changes        = all
    create_before_destroy = true
  }

  depends_on = [aws_iam_role_policy.scoring]
}

resource "aws_sagemaker_endpoint_configuration" "scoring" {
  name        = "${local.prefix}-scoring-${local.endpoint_configuration}"
  kms_key_arn = aws_kms_key.data.arn

  production_variants {
    variant_name           = "champion"
    model_name             = aws_sagemaker_model.scoring["champion"].name
    instance_type          = var.scoring_instance_type
    initial_instance_count = var.scoring_instances.min
    initial_variant_weight = 1
  }

  # A shadow gets a copy of each request. Its responses are captured, and the client does not wait for them.
  dynamic "shadow_production_variants" {
    for_each = contains(keys(local.models), "challenger") ? [local.models["challenger"]] : []

    content {
      variant_name           = "challenger"
      model_name             = aws_sagemaker_model.scoring["challenger"].name
      instance_type          = var.scoring_instance_type
      initial_instance_count = var.scoring_instances.min
      initial_variant_weight = 1
    }
  }

  data_capture_config {
    enable_capture              = true
    initial_sampling_percentage = var.capture_percent
    destination_s3_uri          = "s3://${module.data_bucket.name}/capture"
    kms_key_id                  = aws_kms_key.data.arn

    capture_options {
      capture_mode = "Input"
    }

    capture_options {
      capture_mode = "Output"
    }

    capture_content_type_header {
      json_content_types = ["application/json"]
    }
  }

  lifecycle {
    ignore_changes        = all
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint" "scoring" {
  name                 = local.endpoint_name
  endpoint_config_name = aws_sagemaker_endpoint_configuration.scoring.name

  # A new model first gets a part of the traffic. The old one is kept for a while, and an alarm rolls back to it.
  deployment_config {
    auto_rollback_configuration {
      dynamic "alarms" {
        for_each = local.rollback_alarms

        content {
          alarm_name = alarms.value
        }
      }
    }

    blue_green_update_policy {
      termination_wait_in_seconds          = var.rollout.watch_seconds
      maximum_execution_timeout_in_seconds = var.rollout.timeout_seconds

      traffic_routing_configuration {
        type                     = local.rolls_out_in_parts ? "CANARY" : "ALL_AT_ONCE"
        wait_interval_in_seconds = var.rollout.watch_seconds

        dynamic "canary_size" {
          for_each = local.rolls_out_in_parts ? [var.rollout.canary_percent] : []

          content {
            type  = "CAPACITY_PERCENT"
            value = canary_size.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [endpoint_config_name] # a promotion changes it
  }
}

# --- Autoscaling --------------------------------------------------------------------------------------------------

resource "aws_appautoscaling_target" "scoring" {
  service_namespace  = "sagemaker"
  scalable_dimension = "sagemaker:variant:DesiredInstanceCount"
  resource_id        = "endpoint/${aws_sagemaker_endpoint.scoring.name}/variant/champion"
  min_capacity       = var.scoring_instances.min
  max_capacity       = var.scoring_instances.max
}

resource "aws_appautoscaling_policy" "scoring" {
  name               = "${local.prefix}-scoring"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.scoring.service_namespace
  scalable_dimension = aws_appautoscaling_target.scoring.scalable_dimension
  resource_id        = aws_appautoscaling_target.scoring.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.scoring_invocations_per_instance
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "SageMakerVariantInvocationsPerInstance"
    }
  }
}

# --- Role ---------------------------------------------------------------------------------------------------------

resource "aws_iam_role" "scoring" {
  name               = "${local.prefix}-scoring"
  description        = "The scoring container: its image, its model, its log, the captured payloads."
  assume_role_policy = data.aws_iam_policy_document.service_trust["sagemaker"].json
}

resource "aws_iam_role_policy" "scoring" {
  name   = "scoring"
  role   = aws_iam_role.scoring.id
  policy = data.aws_iam_policy_document.scoring.json
}

data "aws_iam_policy_document" "scoring" {
  source_policy_documents = [
    data.aws_iam_policy_document.pull["scoring"].json,
    data.aws_iam_policy_document.network_interfaces.json,
    data.aws_iam_policy_document.use_data_key.json,
  ]

  statement {
    sid       = "ReadModels"
    actions   = ["s3:GetObject"]
    resources = concat(["${module.data_bucket.arn}/models/*"], local.first_model_arns)
  }

  statement {
    sid       = "Capture"
    actions   = ["s3:PutObject"]
    resources = ["${module.data_bucket.arn}/capture/*"]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.endpoint.arn}:*"]
  }
}

resource "aws_cloudwatch_log_group" "endpoint" {
  name              = "/aws/sagemaker/Endpoints/${local.endpoint_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

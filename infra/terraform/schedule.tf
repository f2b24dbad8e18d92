# Starts of the state machines: the daily one by schedule, retraining by the drift events of the daily one.

resource "aws_cloudwatch_event_bus" "cardwatch" {
  name               = local.prefix
  description        = "What ${local.prefix} tells of itself: DriftDetected."
  kms_key_identifier = aws_kms_key.data.arn
}

resource "aws_cloudwatch_event_rule" "drift" {
  name           = "${local.prefix}-drift"
  description    = "Drift that the policy wants a retraining for."
  event_bus_name = aws_cloudwatch_event_bus.cardwatch.name
  event_pattern  = jsonencode({ source = ["cardwatch"], "detail-type" = ["DriftDetected"] })
}

resource "aws_cloudwatch_event_target" "retrain" {
  rule           = aws_cloudwatch_event_rule.drift.name
  event_bus_name = aws_cloudwatch_event_bus.cardwatch.name
  target_id      = "retrain"
  arn            = aws_sfn_state_machine.retrain.arn
  role_arn       = aws_iam_role.start["retrain"].arn
  input_path     = "$.detail"

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.unstarted.arn
  }
}

resource "aws_scheduler_schedule_group" "cardwatch" {
  name = local.prefix
}

resource "aws_scheduler_schedule" "daily" {
  name                         = "${local.prefix}-daily"
  description                  = "Archive and watch the day that is ending."
  group_name                   = aws_scheduler_schedule_group.cardwatch.name
  schedule_expression          = var.daily_schedule
  schedule_expression_timezone = "UTC" # days are UTC days in the whole system
  state                        = var.daily_enabled ? "ENABLED" : "DISABLED"
  kms_key_arn                  = aws_kms_key.data.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_sfn_state_machine.daily.arn
    role_arn = aws_iam_role.start["daily"].arn
    input    = "{\"scheduled_at\":\"<aws.scheduler.scheduled-time>\"}" # jsonencode would write < as \u003c

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 10
    }

    dead_letter_config {
      arn = aws_sqs_queue.unstarted.arn
    }
  }
}

# --- Dead letters of starts ---------------------------------------------------------------------------------------

resource "aws_sqs_queue" "unstarted" {
  name                              = "${local.prefix}-unstarted"
  kms_master_key_id                 = aws_kms_key.data.arn
  kms_data_key_reuse_period_seconds = 3600
  message_retention_seconds         = 1209600 # 14 days, the maximum of SQS
}

resource "aws_sqs_queue_policy" "unstarted" {
  queue_url = aws_sqs_queue.unstarted.url
  policy    = data.aws_iam_policy_document.unstarted.json
}

data "aws_iam_policy_document" "unstarted" {
  statement {
    sid       = "RuleDelivers"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.unstarted.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.drift.arn]
    }
  }

  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.unstarted.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

# --- Roles --------------------------------------------------------------------------------------------------------

locals {
  starters = {
    daily   = { service = "scheduler", machine = aws_sfn_state_machine.daily.arn }
    retrain = { service = "events", machine = aws_sfn_state_machine.retrain.arn }
  }
}

resource "aws_iam_role" "start" {
  for_each = local.starters

  name               = "${local.prefix}-start-${each.key}"
  description        = "Starts the state machine ${each.key}."
  assume_role_policy = data.aws_iam_policy_document.service_trust[each.value.service].json
}

resource "aws_iam_role_policy" "start" {
  for_each = local.starters

  name   = "start"
  role   = aws_iam_role.start[each.key].id
  policy = data.aws_iam_policy_document.start[each.key].json
}

data "aws_iam_policy_document" "start" {
  for_each = local.starters

  statement {
    sid       = "Start"
    actions   = ["states:StartExecution"]
    resources = [each.value.machine]
  }

  # With this role the scheduler decrypts its input and sends failed starts to the queue.
  dynamic "statement" {
    for_each = each.key == "daily" ? [aws_sqs_queue.unstarted.arn] : []

    content {
      sid       = "PutAside"
      actions   = ["sqs:SendMessage"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = each.key == "daily" ? [aws_kms_key.data.arn] : []

    content {
      sid       = "UseKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

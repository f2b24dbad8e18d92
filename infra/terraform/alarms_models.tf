# Alarms for the endpoint, the function `model`, the state machines and their start. alarms.tf has the other alarms and
# the topic.

locals {
  # During a rollout these two alarms also cause the rollback to the old model. A rollout may name no other alarms.
  rollback_alarms = [for alarm in keys(local.endpoint_alarms) : "${local.prefix}-${alarm}"]

  # Named without a reference to the endpoint, which is created after its alarms.
  champion = { EndpointName = local.endpoint_name, VariantName = "champion" }

  endpoint_alarms = {
    endpoint-errors = {
      description = "The endpoint ${local.endpoint_name} answers 5xx: the rules decide, and decisions say degraded."
      namespace   = "AWS/SageMaker"
      metric      = "Invocation5XXErrors"
      dimensions  = local.champion
      statistic   = "Sum"
      above       = 0
      minutes     = 1
      periods     = 2
    }
    endpoint-slow = {
      description = "The endpoint ${local.endpoint_name} takes more than ${var.endpoint_slow_ms} ms for one batch in a hundred."
      namespace   = "AWS/SageMaker"
      metric      = "ModelLatency"
      dimensions  = local.champion
      statistic   = "p99"
      above       = var.endpoint_slow_ms * 1000 # the metric is in microseconds
      minutes     = 1
      periods     = 3
    }
  }

  model_function_alarms = {
    for alarm, metric in { errors = "Errors", throttles = "Throttles" } : "model-${alarm}" => {
      description                 = "The function ${aws_lambda_function.model.function_name} has ${alarm}: a retraining does not get on."
      namespace                   = "AWS/Lambda"
      metric                      = metric
      dimensions                  = { FunctionName = aws_lambda_function.model.function_name }
      statistic                   = "Sum"
      above                       = 0
      minutes                     = 5
      periods                     = 1
    }
  }

  workflow_arns = { daily = aws_sfn_state_machine.daily.arn, retrain = aws_sfn_state_machine.retrain.arn }

  workflow_alarms = merge([
    for workflow, arn in local.workflow_arns : {
      for alarm in ["Failed", "TimedOut", "Aborted"] : "${workflow}-${lower(alarm)}" => {
        description = "An execution of the state machine ${local.prefix}-${workflow} ended as ${alarm}."
        namespace   = "AWS/States"
        metric      = "Executions${alarm}"
        dimensions  = { StateMachineArn = arn }
        statistic   = "Sum"
        above       = 0
        minutes     = 5
        periods     = 1
      }
    }
  ]...)

  start_alarms = {
    unstarted-not-empty = {
      description = "A state machine that was due could not be started: see the queue ${aws_sqs_queue.unstarted.name}."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.unstarted.name }
      statistic   = "Maximum"
      above       = 0
      minutes     = 5
      periods     = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "models" {
  for_each = merge(local.endpoint_alarms, local.model_function_alarms, local.workflow_alarms, local.start_alarms)

  alarm_name          = "${local.prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = each.value.minutes * 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# A state machine that is never started has no failed execution.
resource "aws_cloudwatch_metric_alarm" "daily_missing" {
  count = var.daily_enabled ? 1 : 0

  alarm_name          = "${local.prefix}-daily-missing"
  alarm_description   = "The state machine ${aws_sfn_state_machine.daily.name} has not succeeded for a day."
  namespace           = "AWS/States"
  metric_name         = "ExecutionsSucceeded"
  dimensions          = { StateMachineArn = aws_sfn_state_machine.daily.arn }
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 86400
  evaluation_periods  = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# The topic of alarms, and the alarms for streams, functions, card states and the API. alarms_models.tf has those for
# models and jobs.

resource "aws_sns_topic" "alarms" {
  name              = "${local.prefix}-alarms"
  kms_master_key_id = aws_kms_key.data.arn
}

data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "ServicesTellOfAlarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "email" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

locals {
  # An alarm goes off if the statistic is above `above` in each of the last `periods` minutes. It may be a percentile.
  queue_alarms = {
    for name, queue in aws_sqs_queue.queues : "${name}-not-empty" => {
      description = "Somebody should look into the queue ${queue.name}: runbook, dead letters."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = queue.name }
      statistic   = "Maximum"
      above       = 0
      periods     = 1
    }
  }

  function_alarms = merge([
    for name, function in aws_lambda_function.functions : {
      for alarm, its in {
        errors    = { says = "fails", metric = "Errors", statistic = "Sum", above = 0, periods = 1 }
        throttles = { says = "is throttled: its concurrency, or the account's, is used up", metric = "Throttles", statistic = "Sum", above = 0, periods = 5 }
        slow      = { says = "comes near its time-out", metric = "Duration", statistic = "Maximum", above = function.timeout * 800, periods = 5 }
        } : "${name}-${alarm}" => {
        description = "The function ${function.function_name} ${its.says}."
        namespace   = "AWS/Lambda"
        metric      = its.metric
        dimensions  = { FunctionName = function.function_name }
        statistic   = its.statistic
        above       = its.above
        periods     = its.periods
      }
    }
  ]...)

  lag_alarms = local.on_msk ? {
    stream-lags = {
      description = "The stream function is behind the topic by more than ${var.lag_alarm_seconds} batches: at one a second, as many seconds."
      namespace   = "AWS/Lambda"
      metric      = "OffsetLag"
      dimensions  = { FunctionName = aws_lambda_function.functions["stream"].function_name }
      statistic   = "Maximum"
      above       = var.lag_alarm_seconds * var.stream_batch_size
      periods     = 3
    }
    } : {
    stream-lags = {
      description = "The stream function decides more than ${var.lag_alarm_seconds} s after the transaction."
      namespace   = "AWS/Lambda"
      metric      = "IteratorAge"
      dimensions  = { FunctionName = aws_lambda_function.functions["stream"].function_name }
      statistic   = "Maximum"
      above       = var.lag_alarm_seconds * 1000
      periods     = 3
    }
  }

  stream_alarms = merge([
    for stream in concat(aws_kinesis_stream.transactions, [aws_kinesis_stream.decisions]) : {
      "${trimprefix(stream.name, "${local.prefix}-")}-full" = {
        description = "The stream ${stream.name} refuses records: it needs more shards."
        namespace   = "AWS/Kinesis"
        metric      = "WriteProvisionedThroughputExceeded"
        dimensions  = { StreamName = stream.name }
        statistic   = "Sum"
        above       = 0
        periods     = 5
      }
      "${trimprefix(stream.name, "${local.prefix}-")}-read-late" = {
        description = "Records of the stream ${stream.name} are read more than half of its retention late: soon they are lost."
        namespace   = "AWS/Kinesis"
        metric      = "GetRecords.IteratorAgeMilliseconds"
        dimensions  = { StreamName = stream.name }
        statistic   = "Maximum"
        above       = var.stream_retention_hours * 3600 * 1000 / 2
        periods     = 5
      }
    }
  ]...)

  table_alarms = merge([
    for operation in ["BatchGetItem", "PutItem", "UpdateItem"] : {
      for alarm, its in {
        throttled = { says = "throttles", metric = "ThrottledRequests", above = 0, periods = 3 }
        errors    = { says = "fails at", metric = "SystemErrors", above = 0, periods = 3 }
        } : "cards-${lower(operation)}-${alarm}" => {
        description = "The table ${aws_dynamodb_table.cards.name} ${its.says} ${operation}: cards are retried, decisions come late."
        namespace   = "AWS/DynamoDB"
        metric      = its.metric
        dimensions  = { TableName = aws_dynamodb_table.cards.name, Operation = operation }
        statistic   = "Sum"
        above       = its.above
        periods     = its.periods
      }
    }
  ]...)

  api_alarms = {
    for alarm, its in {
      api-errors = { says = "answers 5xx", metric = "5XXError", statistic = "Sum", above = 0 }
      api-slow   = { says = "takes more than a second for one question in a hundred", metric = "Latency", statistic = "p99", above = 1000 }
      } : alarm => {
      description = "The API ${aws_api_gateway_rest_api.score.name} ${its.says}."
      namespace   = "AWS/ApiGateway"
      metric      = its.metric
      dimensions  = { ApiName = aws_api_gateway_rest_api.score.name, Stage = aws_api_gateway_stage.live.stage_name }
      statistic   = its.statistic
      above       = its.above
      periods     = 5
    }
  }

  alarms = merge(
    local.queue_alarms,
    local.function_alarms,
    local.lag_alarms,
    local.stream_alarms,
    local.table_alarms,
    local.api_alarms,
  )
}

resource "aws_cloudwatch_metric_alarm" "alarms" {
  for_each = local.alarms

  alarm_name          = "${local.prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# Without transactions none of the alarms above goes off.
resource "aws_cloudwatch_metric_alarm" "silence" {
  count = var.silence_alarm_minutes > 0 ? 1 : 0

  alarm_name          = "${local.prefix}-silence"
  alarm_description   = "No transaction has been decided for ${var.silence_alarm_minutes} minutes."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = aws_lambda_function.functions["stream"].function_name }
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = var.silence_alarm_minutes
  datapoints_to_alarm = var.silence_alarm_minutes
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
